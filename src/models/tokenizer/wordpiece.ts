/** WordPiece (Schuster and Nakajima, 2012) as BERT has it: of each word the longest piece that begins it, again and again. */
import type { PlainEncoder } from './bpe.ts'
import { TokenizerDefinitionError } from './errors.ts'
import { MAX_WORD } from './limits.ts'
import { PIECE } from './pieces.ts'
import { createNormalizer } from './normal-steps.ts'
import type { Vocabulary } from './vocabulary.ts'
import { wordCutter } from './word-cutter.ts'
import { cachedByWord } from './word-cache.ts'

/** @throws TokenizerDefinitionError */
export function createWordPieceEncoder(vocabulary: Vocabulary): PlainEncoder {
  const { definition, plain } = vocabulary
  const { unk } = definition
  const { inner, longest } = definition.wordpiece ?? {}
  if (unk === null) throw new TokenizerDefinitionError('it has no unknown token')
  if (typeof inner !== 'string' || inner.length > MAX_WORD || !(Number.isInteger(longest) && longest! <= MAX_WORD)) {
    throw new TokenizerDefinitionError(`it does not say what stands before pieces within a word of at most ${MAX_WORD}`)
  }
  const normalize = createNormalizer(definition)
  const cut = wordCutter(definition)
  const most = [...plain.keys()].reduce((length, text) => Math.max(length, text.length), 0)
  const encodeWord = cachedByWord((word) => {
    // A word has at most two units a character.
    if (word.length > longest! && Array.from(word).length > longest!) return [unk]
    const ids: number[] = []
    for (let start = 0; start < word.length;) {
      const before = start === 0 ? '' : inner
      let end = Math.min(word.length, start + most)
      let id: number | undefined
      for (; end > start; end--) if ((id = plain.get(before + word.slice(start, end))) !== undefined) break
      if (id === undefined) return [unk]
      ids.push(id)
      start = end
    }
    return ids
  })
  return function* (text, ids, most = Infinity) {
    let read = 0
    for (const word of cut(normalize(text))) {
      for (const id of encodeWord(word)) ids.push(id)
      if (ids.length > most) return
      read += word.length
      if (read < PIECE) continue
      read = 0
      yield
    }
  }
}
