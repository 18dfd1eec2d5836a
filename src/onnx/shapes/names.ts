/** Which names of dimensions stand in an expression as they are. */
const WORD = '[\\p{L}_][\\p{L}\\p{N}_.:]*'
const NAME = new RegExp(`^(?:${WORD}|\\?\\d+)$`, 'u')
/** `batch-size` alone is a name; in an expression it would read as a difference. */
const HYPHENATED = new RegExp(`^${WORD}(?:-${WORD})+$`, 'u')

export function isName(text: string): boolean {
  return NAME.test(text)
}

export function isHyphenated(text: string): boolean {
  return HYPHENATED.test(text)
}

export function quoteName(name: string): string {
  return JSON.stringify(name)
}
