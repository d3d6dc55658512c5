"""Plain text: words, sentences, values, dates, markup. The standard library, or one kept library each."""
