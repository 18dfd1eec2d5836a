/** Each question has one answer, at the same place, and no word that matters in common with it. */
export const QUESTIONS = [
  'How do I get my money back?',
  'Why is my laptop so slow?',
  'What should I cook tonight?',
  'Is it going to rain tomorrow?',
  'When does the next train leave?',
  'My head hurts and I feel hot.',
] as const

export const ANSWERS = [
  'Refunds are paid within five working days.',
  'Close programs that use much memory, and restart the computer.',
  'Roast the vegetables with garlic and serve them with rice.',
  'The forecast says showers, with thunderstorms in the evening.',
  'Departures to the city are every ten minutes from platform two.',
  'You may have a fever: rest, drink water, and call a doctor.',
] as const
