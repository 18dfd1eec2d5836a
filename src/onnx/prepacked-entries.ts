/**
 * How ONNX Runtime (1.30) notes pre-packed weights in a graph: an external tensor carries `prepacked_<n>` entries,
 * `key|offset;length;checksum|offset;length;checksum...`, parts in the tensor's own file. The key names the operator
 * and a hash of the packed bytes; the engine packs anew at each load and takes the stored parts only if its hash
 * agrees. The checksum is written as 0 and not read.
 */
import type { PrepackedForm } from './graph.ts'

export interface ExternalEntry {
  readonly key: string
  readonly value: string
}

const PREFIX = 'prepacked_'

export function prepackedEntries(forms: readonly PrepackedForm[]): ExternalEntry[] {
  return forms.map(({ key, parts }, index) => ({
    key: `${PREFIX}${index}`,
    value: [key, ...parts.map(({ offset, length }) => `${offset};${length};0`)].join('|'),
  }))
}

/** @throws SyntaxError when an entry is not as above */
export function prepackedForms(entries: readonly ExternalEntry[]): PrepackedForm[] {
  return entries.filter((entry) => entry.key.startsWith(PREFIX)).map((entry) => parse(entry.value))
}

function parse(value: string): PrepackedForm {
  const [key, ...rest] = value.split('|')
  const parts = rest.map((part) => {
    const [offset, length] = part.split(';', 2).map(Number)
    return { offset: offset ?? -1, length: length ?? -1 }
  })
  const whole = parts.every(({ offset, length }) => Number.isSafeInteger(offset + length) && offset >= 0 && length >= 0)
  if (key === undefined || key === '' || parts.length === 0 || !whole)
    throw new SyntaxError(`pre-packed entry ${value}`)
  return { key, parts }
}
