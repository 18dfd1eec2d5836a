/** Texts of single tokens, for logprobs: asked of the peer once each. */
import type { Peer } from '../../peer/index.ts'
import type { TokenLogprob } from '../../pipeline/index.ts'

export interface TokenText {
  readonly token: string
  /** Null: it stands at the beginning, and nothing says how likely it is. */
  readonly logprob: number | null
  /** Null where a token is a part of a character: its bytes are not text. */
  readonly bytes: readonly number[] | null
}

export type TokenTexts = (
  tokens: readonly (Pick<TokenLogprob, 'id'> & Pick<TokenText, 'logprob'>)[],
) => Promise<TokenText[]>

/** A request has at most some 20 alternatives a token; beyond this many the cache starts again. */
const MAX_CACHED = 16_384
const REPLACEMENT = '\u{fffd}'

export function createTokenTexts(peer: Pick<Peer, 'detokenize'>, model: string, signal: AbortSignal): TokenTexts {
  const known = new Map<number, string>()
  const textOf = async (id: number): Promise<string> => {
    const found = known.get(id)
    if (found !== undefined) return found
    const fresh = await peer.detokenize(model, [id], signal)
    if (known.size >= MAX_CACHED) known.clear()
    known.set(id, fresh)
    return fresh
  }
  return (tokens) =>
    Promise.all(
      tokens.map(async ({ id, logprob }) => {
        const token = await textOf(id)
        return { token, logprob: finite(logprob), bytes: token.includes(REPLACEMENT) ? null : [...Buffer.from(token)] }
      }),
    )
}

/** JSON has no infinity; OpenAI writes -9999 for what cannot be. */
function finite(logprob: number | null): number | null {
  return logprob === null || Number.isFinite(logprob) ? logprob : -9999
}
