/** What an example prints, and what it holds its own result against. */
import type { NamedTensors } from '../src/index.ts'

export function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** A line for each thing that must hold; the program ends with status 1 where one does not. */
export function check(holds: boolean, what: string): void {
  say(`${holds ? '✓' : '✗ NOT TRUE:'} ${what}`)
  if (!holds) process.exitCode = 1
}

/** Columns as wide as their widest cell, the first row above a line. */
export function table(rows: readonly (readonly (string | number)[])[]): void {
  const texts = rows.map((row) => row.map(String))
  const widths = (texts[0] ?? []).map((_, column) => Math.max(...texts.map((row) => row[column]?.length ?? 0)))
  const lines = texts.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  '))
  lines.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('  '))
  for (const line of lines) say(`  ${line.trimEnd()}`)
}

/** The same names, types, shapes and bits. */
export function sameBits(one: NamedTensors, other: NamedTensors): boolean {
  const names = Object.keys(one)
  return (
    names.length > 0 &&
    names.join() === Object.keys(other).join() &&
    names.every((name) => {
      const [a, b] = [one[name]!, other[name]!]
      if (a.type !== b.type || a.dims.join() !== b.dims.join()) return false
      if (a.type === 'string' || b.type === 'string') return a.data.join('\0') === b.data.join('\0')
      return bytesOf(a.data).equals(bytesOf(b.data))
    })
  )
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength)
}
