/** An invite as a picture for the camera of the other device, two rows of it in a line of text. */
import type { Output } from '../output.ts'

/** White on black whatever the terminal's own colours are: cameras want it so. */
const [ON, OFF] = ['\u001B[97;40m', '\u001B[0m']

/** Lines of equal width. @throws when the text is longer than such a picture can hold (2,953 bytes) */
export async function qrLines(text: string): Promise<string[]> {
  const { default: encode } = await import('qr')
  return encode(text, 'ascii', { ecc: 'low' }).trimEnd().split('\n')
}

/** @param columns of the terminal; undefined: it goes to none */
export async function showQr(out: Output, text: string, columns: number | undefined): Promise<void> {
  const lines = await qrLines(text)
  out.lines(columns === undefined || out.noColor ? lines : lines.map((line) => `${ON}${line}${OFF}`))
  const width = lines[0]!.length
  if (columns !== undefined && columns < width)
    out.note(`the picture needs ${width} columns, the terminal has ${columns}: make it wider, or pass the text on`)
}
