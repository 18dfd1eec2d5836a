/**
 * Prompts that no cache of prefixes has seen: a benchmark that asks the same thing again would measure what is found
 * there. The first row differs already, so nothing of one prompt is the beginning of another.
 */
let made = 0

/** @returns so many token ids between 300 and 799, other ones at each call */
export function freshPrompt(rows: number): number[] {
  const start = (made++ * 101) % 500
  return Array.from({ length: rows }, (_, index) => 300 + ((start + index * 37) % 500))
}
