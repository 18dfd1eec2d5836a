/** JSON out of files that people write. */

/**
 * As `JSON.parse`, of a text that may begin with a byte order mark: editors of some systems put one there.
 * @throws SyntaxError
 */
export function parseJsonText(text: string): unknown {
  return JSON.parse(text.startsWith('\u{feff}') ? text.slice(1) : text)
}
