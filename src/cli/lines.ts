/** Lines of a byte stream, cut at line feeds; UTF-8 sequences may straddle chunks. */

/** @throws RangeError when a line is longer than `max` characters. */
export async function* linesOf(source: AsyncIterable<Uint8Array | string>, max: number): AsyncIterable<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of source) {
    const text = typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true })
    const pieces = text.split('\n')
    pieces[0] = rest + (pieces[0] ?? '')
    rest = pieces.pop() ?? ''
    for (const piece of pieces) yield piece.endsWith('\r') ? piece.slice(0, -1) : piece
    if (rest.length > max) throw new RangeError(`a line is longer than ${max} characters`)
  }
  rest += decoder.decode()
  if (rest !== '') yield rest
}
