/** JSON out of files that people write. */

/**
 * As `JSON.parse`, of a text that may begin with a byte order mark: editors of some systems put one there.
 * @throws SyntaxError
 */
export function parseJsonText(text: string): unknown {
  return JSON.parse(text.startsWith('\u{feff}') ? text.slice(1) : text)
}

const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],]/g

/** A member that one object of this JSON text names twice: of those, two readers may take different ones. */
export function repeatedMember(text: string): string | undefined {
  // Names of the objects that are open; none of an array.
  const open: (Set<string> | undefined)[] = []
  let isName = false
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === '{' || token === '[') open.push(token === '{' ? new Set() : undefined)
    else if (token === '}' || token === ']') open.pop()
    else if (token !== ',' && isName) {
      const name = JSON.parse(token) as string
      if (open.at(-1)?.has(name) === true) return name
      open.at(-1)?.add(name)
    }
    isName = (token === '{' || token === ',') && open.at(-1) !== undefined
  }
  return undefined
}
