/** Writes llama2.c's tokenizer file: scores fall with the id. */
export function llama2cTokenizer(pieces: readonly string[]): Uint8Array {
  const parts = pieces.map((piece, id) => {
    const text = Buffer.from(id === 1 || id === 2 ? `\n${piece}\n` : piece.replaceAll('\u2581', ' '))
    const head = Buffer.alloc(8)
    head.writeFloatLE(-id, 0)
    head.writeInt32LE(text.length, 4)
    return Buffer.concat([head, text])
  })
  return Buffer.concat([Buffer.from([27, 0, 0, 0]), ...parts])
}
