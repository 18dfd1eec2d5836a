/** Who chooses the tokens of a session. */
import { FormatUnsupportedError } from './grammar/errors.ts'
import type { Grammars } from './grammar/grammars.ts'
import { unpackIds } from './token-ids.ts'
import { createGuesser } from './guesser.ts'
import type { OpenControl } from './protocol.ts'
import { createSampler } from './sampler.ts'
import type { Sampler } from './sampler.ts'

/** @throws FormatUnsupportedError where an answer is to have a format and no grammars are there */
export function sessionSampler(
  { sampler: init, guessesFrom }: Pick<OpenControl, 'guessesFrom' | 'sampler'>,
  grammars: Pick<Grammars, 'mask'> | undefined,
): Sampler | null {
  if (init === null) return null
  if (guessesFrom !== undefined) return createGuesser(init, guessesFrom)
  const { format, generated = [] } = init
  if (format === undefined) return createSampler(init)
  if (grammars === undefined) throw new FormatUnsupportedError('its host knows no tokens')
  return createSampler(init, grammars.mask(format, unpackIds(generated)))
}
