"""From prompts to sampled drafts: tokens, no English.

A reply does not depend on who else is answered. On a processor that takes care: sums of floats depend on the sizes of
what is summed, and int8 weights make a large difference of a small one. Measured with torch 2.13, on one thread and on
two, a row's result is the same to the last bit in

- int8 products, whatever the number of rows, and where they are compiled all else that a single token of a row goes
  through alone: attention and residual adapters (`network.kernels`);
- float32 products of whole fours of rows, by one matrix or by several: so prompts are read in whole fours, and the rows
  of an adapter are filled up to them (`network.adapters.EVEN`);
- softmax, norms and activations;
- attention written out for single tokens, and torch's own for up to 64 tokens of one sequence, over whole blocks of 64
  keys, the last of which are not seen (`network.architectures.cache.BLOCK`).

Products of one to three rows of float32 weights differ in their last bits from those of more. Filled up to four they
take three times as long, so that they are left as they are. On float32 weights, in bf16 and on a GPU equal tokens are
as good as certain, equal bits are not. Where nothing is compiled, keys and values that a prefix adapter puts before
those of the tokens shift the blocks of all rows of its batch.
"""
