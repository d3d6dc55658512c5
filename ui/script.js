// What the page does by itself: it passes clicks on to the handlers, opens panels, copies, downloads, remembers.

const abAsking = new Set(['retry', 'example', 'compare']);

// A text of `abWords` with its gaps filled; what would turn the order of what stands around it (a file's name may) goes.
const abSay = (name, ...values) => abWords[name].replaceAll('{}', () => abPlain(String(values.shift())));
const abPlain = text => text.replace(/[\u202a-\u202e\u2066-\u2069]/g, '');

// The buttons of one component. `act` and `ask` send what a button has as data to the handlers.
window.abHear = (element, act, ask) => {
  const send = data => (abAsking.has(data.do) ? ask : act)(data);
  element.addEventListener('click', event => {
    const button = event.target.closest('button[data-do]');
    if (!button || button.disabled) return;
    const data = {...button.dataset};
    if (data.do === 'copy') return abCopy(button);
    if (data.do === 'attach') return document.querySelector('#ab-offer input[type=file]').click();
    if (data.do === 'panel') return abPanel(data.panel);
    if (data.do === 'theme') return abTheme(!document.body.classList.contains('dark'));
    if (data.do === 'menu') return abMenu(button);
    if (data.do === 'save') data.text = element.querySelector('.ab-rename').value;
    if (data.do === 'inspect') abPanel('side', true);
    if (['open', 'new', 'restore'].includes(data.do)) { abPanel(''); abFollow.below = true; }
    abMenu(null);
    send(data);
  });
  element.addEventListener('keydown', event => {
    const row = event.target.closest('.ab-renaming');
    if (!row) return;
    if (event.key === 'Enter') act({do: 'save', id: row.dataset.id, text: event.target.value});
    if (event.key === 'Escape') { event.stopPropagation(); act({do: 'rename', id: ''}); }
  });
  element.addEventListener('change', event => {
    if (!event.target.matches('.ab-compare') || !event.target.value) return;
    ask({do: 'compare', skill: event.target.value});
    event.target.value = '';
  });
  let typing;
  element.addEventListener('input', event => {
    if (!event.target.matches('.ab-search')) return;
    clearTimeout(typing);
    typing = setTimeout(() => act({do: 'search', text: event.target.value}), 250);
  });
};

// A file that was chosen or dropped: what it would become, then its way to the server, then what was made of it.
window.abFiles = (element, act) => {
  const input = element.querySelector('input[type=file]');
  const form = element.querySelector('form');
  const [said, select, progress] = ['p', 'select', 'progress'].map(name => form.querySelector(name));
  const add = form.querySelector('[type=submit]');
  let file;
  const say = (text, asks = false) => {
    form.hidden = false;
    said.textContent = abPlain(text);
    add.hidden = select.hidden = !asks;
    if (!asks) progress.hidden = true;
  };
  const where = (path, values) => `own/${path}?${new URLSearchParams(values)}`;
  const offer = async chosen => {
    if (!chosen || (file && !progress.hidden)) return;
    file = chosen;
    form.querySelector('.ab-example')?.remove();
    try {
      const answer = await fetch(where('look', {name: file.name}), {method: 'POST', body: file.slice(0, 65536)});
      const {becomes, refused} = await answer.json();
      if (!becomes) return say(refused ?? abSay('refused', file.name, answer.status));
      select.replaceChildren(...becomes.map(each => new Option(each.text, each.name)));
      say(abSay('becomes', file.name), true);
      add.focus();
    } catch { say(abSay('unreachable')); }
  };
  const send = () => {
    const request = new XMLHttpRequest();
    let last = {};
    const read = () => {
      const lines = request.responseText.split('\n').slice(0, -1);
      if (!lines.length) return;
      try { last = JSON.parse(lines.at(-1)); } catch { return; }
      if (last.count) said.textContent = abSay('read', file.name, last.count.toLocaleString());
    };
    request.upload.onprogress = event => {
      progress.max = event.total;
      progress.value = event.loaded;
      if (event.loaded === event.total) progress.removeAttribute('value');
    };
    request.onprogress = read;
    request.onerror = () => say(abSay('unreachable'));
    request.onload = () => {
      read();
      if (!last.done) return say(last.refused ?? abSay('refused', file.name, request.status));
      say(last.done);
      const ask = document.createElement('button');
      ask.type = 'button';
      ask.className = 'ab-button ab-example';
      ask.dataset.do = 'example';
      ask.dataset.message = last.question;
      ask.textContent = abPlain(last.question);
      ask.addEventListener('click', () => { form.hidden = true; });
      said.after(ask);
      act({do: 'own'});
    };
    request.open('POST', where('add', {name: file.name, kind: select.value}));
    say(abPlain(file.name));
    progress.hidden = false;
    progress.removeAttribute('value');
    request.send(file);
  };
  form.addEventListener('submit', event => { event.preventDefault(); send(); });
  form.querySelector('[data-close]').addEventListener('click', () => { form.hidden = true; abBox()?.focus(); });
  input.addEventListener('change', () => { offer(input.files[0]); input.value = ''; });
  document.addEventListener('dragover', event => {
    if (event.dataTransfer?.types.includes('Files')) { event.preventDefault(); abColumns().dataset.drop = ''; }
  });
  document.addEventListener('dragleave', event => { if (!event.relatedTarget) delete abColumns().dataset.drop; });
  document.addEventListener('drop', event => {
    delete abColumns().dataset.drop;
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    event.stopPropagation();
    offer(event.dataTransfer.files[0]);
  }, true);
};

// What a handler tells the page to do.
window.abObey = order => {
  if (order.do === 'focus') abBox()?.focus();
  if (order.do === 'rename') setTimeout(() => document.querySelector('.ab-rename')?.select(), 50);
  if (order.do === 'download') {
    const text = order.text ?? JSON.stringify(order.value, null, 2);
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([text], {type: 'text/plain;charset=utf-8'}));
    link.download = order.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
};

const abColumns = () => document.querySelector('#ab-columns');
const abBox = () => document.querySelector('#ab-box textarea');

const abNarrow = () => window.matchMedia('(max-width: 1099px)').matches;

// Open a panel on a narrow page; where all columns have room, only show its first tab.
function abPanel(name, first = false) {
  if (first) document.querySelector('#ab-tabs button[role=tab]')?.click();
  const before = abColumns().dataset.panel ?? '';
  abColumns().dataset.panel = name;
  if (!abNarrow()) return;
  if (name) {
    abPanel.from = document.activeElement;
    setTimeout(() => document.querySelector(`#ab-${name} .ab-head button`)?.focus(), 50);
  } else if (before) abPanel.from?.focus?.();
}

// Open the menu of one conversation and close all others.
function abMenu(button) {
  const mine = button?.parentElement.querySelector('.ab-menu');
  for (const menu of document.querySelectorAll('.ab-menu')) menu.hidden = menu !== mine || !menu.hidden;
  if (mine && !mine.hidden) mine.querySelector('button').focus();
}

async function abCopy(button) {
  const text = button.closest('.ab-bot').querySelector('.ab-text').textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // a page that is not on this machine may not write by itself
    const box = document.createElement('textarea');
    box.value = text;
    document.body.append(box);
    box.select();
    document.execCommand('copy');
    box.remove();
  }
  button.classList.add('ab-done');
  button.setAttribute('aria-label', abWords.copied);
  setTimeout(() => { button.classList.remove('ab-done'); button.setAttribute('aria-label', abWords.copy); }, 1500);
}

function abTheme(dark) {
  document.body.classList.toggle('dark', dark);
  localStorage.setItem('adapterbot-theme', dark ? 'dark' : 'light');
}

function abType(text) {
  const box = abBox();
  box.value = text;
  box.dispatchEvent(new Event('input', {bubbles: true}));
}

// A new line by Shift+Enter: gradio would send.
document.addEventListener('keydown', event => {
  if (event.key === 'Enter' && event.shiftKey && event.target === abBox()) event.stopImmediatePropagation();
}, true);

document.addEventListener('keydown', event => {
  const typing = event.target.closest?.('input, textarea, select');
  if (event.key === 'Escape') {
    if (document.querySelector('.ab-menu:not([hidden])')) abMenu(null);
    else if (abNarrow() && abColumns().dataset.panel) abPanel('');
    else document.querySelector('#ab-stop')?.click();
  } else if (event.key === '/' && !typing) {
    event.preventDefault();
    abBox()?.focus();
  } else if (event.key === 'ArrowUp' && event.target === abBox() && !event.target.value) {
    document.querySelector('#ab-said .ab-turn:last-child [data-do=edit]')?.click();
  }
});

// A message that was not answered outlives a reload.
document.addEventListener('input', event => {
  if (event.target === abBox()) localStorage.setItem('adapterbot-draft', event.target.value);
});

// The newest words stay in sight unless the reader has scrolled up; a page on which nothing was said begins at its top.
function abFollow() {
  const scroll = document.querySelector('#ab-scroll');
  if (!scroll) return setTimeout(abFollow, 100);
  const talks = () => scroll.querySelector('.ab-turn');
  const follow = () => { if (abFollow.below) scroll.scrollTop = talks() ? scroll.scrollHeight : 0; };
  abFollow.below = true;
  scroll.addEventListener('scroll', () => {
    abFollow.below = !talks() || scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
  });
  new MutationObserver(follow).observe(scroll, {subtree: true, childList: true, characterData: true});
  new ResizeObserver(follow).observe(scroll);  // a phone's keyboard came up
}

// A button that was pressed is often drawn anew: its successor has the focus then, so that a keyboard goes on from there.
let abPressed;
document.addEventListener('focusin', event => {
  const button = event.target.closest('[data-do]');
  abPressed = button && {within: button.closest('[id^=ab-]'), title: button.title, ...button.dataset};
});
document.addEventListener('pointerdown', event => { if (!event.target.closest('button')) abPressed = null; });
function abRefocus() {
  if (!abPressed || document.activeElement !== document.body) return;
  const same = each => each.title === abPressed.title
    && ['do', 'turn', 'id'].every(name => each.dataset[name] === abPressed[name]);
  [...abPressed.within.querySelectorAll('[data-do]:not([disabled])')].find(same)?.focus({preventScroll: true});
}

// Who sends or stops by the button goes on in the box; on a phone that would bring up the keyboard.
document.addEventListener('click', event => {
  if (event.target.closest('#ab-send, #ab-stop') && !abNarrow()) abBox()?.focus();
});

const abBusy = () => document.querySelector('#ab-stop')?.checkVisibility();

// A reply that was cut off never ends for gradio: once the server can be reached again the page is opened anew.
async function abStay() {
  if (!abBusy() && !abStay.lost) return;
  try {
    await fetch('favicon.ico', {cache: 'no-store'});
    if (abStay.lost) location.reload();
  } catch {
    if (abStay.lost) return;
    abStay.lost = document.createElement('p');
    abStay.lost.className = 'ab-note';
    abStay.lost.role = 'status';
    abStay.lost.textContent = abSay('lost');
    document.querySelector('#ab-now .ab-bot')?.append(abStay.lost);
  }
}

function abBegin() {
  const box = abBox();
  if (!box) return setTimeout(abBegin, 100);
  const theme = localStorage.getItem('adapterbot-theme');
  if (theme) document.body.classList.toggle('dark', theme === 'dark');
  const draft = localStorage.getItem('adapterbot-draft');
  if (draft && !box.value) abType(draft);
  // Gradio empties the box without an input event when a message was sent.
  setInterval(() => { if (!abBox()?.value && !abBusy()) localStorage.removeItem('adapterbot-draft'); }, 500);
  setInterval(abStay, 2000);
  abFollow();
  new MutationObserver(abRefocus).observe(abColumns(), {subtree: true, childList: true});
}
abBegin();
