/** How texts that are ready are cut into words, for tokenizers that say it as data. */
import type { TokenizerDefinition } from './definition.ts'
import { TokenizerDefinitionError } from './errors.ts'
import { WORDS } from './unicode-tables.ts'
import { SPACE_MARK } from './vocabulary.ts'

export type WordCutter = (text: string) => readonly string[]

const BETWEEN_BLANKS = /\P{White_Space}+/gu
/** A mark belongs to what follows. */
const MARKED = new RegExp(`${SPACE_MARK}[^${SPACE_MARK}]*|[^${SPACE_MARK}]+`, 'gu')

/** @throws TokenizerDefinitionError */
export function wordCutter({ words, metaspace }: TokenizerDefinition): WordCutter {
  if (words === 'bert' && metaspace === undefined) return (text) => text.match(WORDS) ?? []
  if (words !== undefined && words !== 'blanks') {
    throw new TokenizerDefinitionError('the way in which its texts are cut into words is not known')
  }
  const pieces: WordCutter =
    words === 'blanks' ? (text) => text.match(BETWEEN_BLANKS) ?? [] : (text) => (text === '' ? [] : [text])
  if (metaspace === undefined) return pieces
  const { prefix, split } = metaspace
  return (text) =>
    pieces(text).flatMap((piece) => {
      const marked = piece.replaceAll(' ', SPACE_MARK)
      const whole = prefix && !marked.startsWith(SPACE_MARK) ? SPACE_MARK + marked : marked
      return split ? (whole.match(MARKED) ?? []) : [whole]
    })
}
