/** Ids to text, whole or as they come; both see the same bytes, so that they always agree. */
import { TOKEN_TYPE } from './definition.ts'
import type { TextStream } from './types.ts'
import type { Vocabulary } from './vocabulary.ts'

const SPACE = 0x20

// ignoreBOM keeps U+FEFF in the text: a model may say it.
const DECODER = { ignoreBOM: true } as const

export function decodeIds(vocabulary: Vocabulary, ids: readonly number[], special: boolean): string {
  const bytesOf = byteReader(vocabulary, special)
  return new TextDecoder('utf-8', DECODER).decode(Buffer.concat(ids.map((id) => bytesOf(id))))
}

export function createTextStream(vocabulary: Vocabulary, special: boolean): TextStream {
  const decoder = new TextDecoder('utf-8', DECODER)
  let bytesOf = byteReader(vocabulary, special)
  return {
    push: (id) => decoder.decode(bytesOf(id), { stream: true }),
    end() {
      bytesOf = byteReader(vocabulary, special)
      return decoder.decode()
    },
  }
}

/** Bytes of one id after another, without the space that SentencePiece has put after `bos` at the start. */
function byteReader(vocabulary: Vocabulary, special: boolean): (id: number) => Uint8Array {
  const { kind, bos, add_space_prefix: spacePrefix, types } = vocabulary.definition
  const strips = kind === 'spm' && spacePrefix && !special
  let place: 'start' | 'after bos' | 'inside' = 'start'
  return (id) => {
    const bytes = vocabulary.bytes(id, special)
    const first = place === 'after bos' && types[id] === TOKEN_TYPE.normal && bytes[0] === SPACE
    place = place === 'start' && strips && id === bos ? 'after bos' : 'inside'
    return first ? bytes.subarray(1) : bytes
  }
}
