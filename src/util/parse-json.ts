/** JSON out of files that people write. */

/** Characters of a name, in a message. */
const MAX_SHOWN = 100

/**
 * As `JSON.parse`, of a text that may begin with a byte order mark: editors of some systems put one there. A member that stands
 * twice is refused: of two, `JSON.parse` keeps the last in silence, and whoever wrote them meant one of them.
 * @throws SyntaxError
 */
export function parseJsonText(text: string): unknown {
  const value: unknown = JSON.parse(text.startsWith('\u{feff}') ? text.slice(1) : text)
  const twice = repeatedMember(text)
  if (twice !== undefined) throw new SyntaxError(`one object has ${JSON.stringify(twice.slice(0, MAX_SHOWN))} twice`)
  return value
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
      const name = token.includes('\\') ? (JSON.parse(token) as string) : token.slice(1, -1)
      if (open.at(-1)?.has(name) === true) return name
      open.at(-1)?.add(name)
    }
    isName = (token === '{' || token === ',') && open.at(-1) !== undefined
  }
  return undefined
}
