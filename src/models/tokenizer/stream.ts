/** Ids to text: whole or as they come, by the same code, so that both always agree. */
import type { TextStream } from './types.ts'
import { TOKEN_TYPE } from './definition.ts'
import type { Vocabulary } from './vocabulary.ts'

const SPACE = 0x20

export function createTextStream(vocabulary: Vocabulary, special: boolean): TextStream {
  const { kind, bos, add_space_prefix: spacePrefix, types } = vocabulary.definition
  const strips = kind === 'spm' && spacePrefix && !special
  // ignoreBOM keeps U+FEFF in the text: a model may say it.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  let place: 'start' | 'after bos' | 'inside' = 'start'
  return {
    push(id) {
      let bytes = vocabulary.bytes(id, special)
      if (place === 'start' && strips && id === bos) {
        place = 'after bos'
      } else {
        if (place === 'after bos' && types[id] === TOKEN_TYPE.normal && bytes[0] === SPACE) bytes = bytes.subarray(1)
        place = 'inside'
      }
      return decoder.decode(bytes, { stream: true })
    },
    end() {
      place = 'start'
      return decoder.decode()
    },
  }
}
