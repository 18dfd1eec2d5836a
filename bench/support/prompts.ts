/** Prompts of three classes, fixed before anything was tuned on them: what is copied or edited, what is said, what is told. */

export interface BenchPrompt {
  readonly kind: 'copying' | 'chat' | 'prose'
  readonly text: string
}

const NOTICE = `The library opens at nine in the morning and closes at seven in the evening. Members may borrow up to six
books for three weeks. Late books cost ten cents a day. The reading room on the second floor is quiet at all times, and the
children's room on the ground floor is not. On the first Sunday of each month the library is closed.`

const LIST = `apples, 12, green crate
pears, 7, red crate
plums, 30, blue crate
cherries, 4, white crate
quinces, 9, yellow crate`

export const PROMPTS: readonly BenchPrompt[] = [
  { kind: 'copying', text: `Repeat the following text word for word.\n\n${NOTICE}` },
  { kind: 'copying', text: `Copy this list exactly, one item a line.\n\n${LIST}` },
  { kind: 'copying', text: `Here is a notice. Write it out again, with "library" replaced by "museum".\n\n${NOTICE}` },
  { kind: 'chat', text: 'What should I pack for a week of walking in the mountains in autumn?' },
  { kind: 'chat', text: 'Explain to a ten-year-old why the sky is blue.' },
  { kind: 'chat', text: 'Give me five names for a small bakery, each with one sentence that says why.' },
  { kind: 'prose', text: 'Write a short story about a lighthouse keeper who finds a letter in a bottle.' },
  { kind: 'prose', text: 'Describe a market in a harbour town early in the morning.' },
  { kind: 'prose', text: 'Continue: The train had been late for so long that nobody on the platform remembered' },
]
