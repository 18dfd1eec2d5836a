/**
 * Which step follows a token: the next one at once, in the tick in which the token arrives, so that no stage waits for
 * whoever reads the answer; but not without end ahead of a reader that has stopped reading.
 */

/** Tokens that may wait for whoever reads them before nothing more is computed. */
export const MAX_UNREAD = 32

export interface Follow {
  /** Position of the first token: the length of the prompt. */
  readonly start: number
  /** Tokens wanted; nothing is sent behind the last. */
  readonly limit: number
  /** Nothing is sent behind one of these. */
  readonly endTokens: ReadonlySet<number>
  /** Of the tokens, the first so many are given (SamplerInit.forced): these end nothing. @default 0 */
  readonly forced?: number
}

/** Whether a token, the so many-th from 0, is the last of its text by what it says. */
export function endsText({ endTokens, forced = 0 }: Follow, token: number, id: number): boolean {
  return token >= forced && endTokens.has(id)
}

export interface Follower {
  /** A token is here; `unread` others wait for the reader. */
  arrived(id: number, unread: number): void
  /** Others have come with it, before it: their rows are in the stages already. */
  passed(tokens: number): void
  /** The reader has taken one; `unread` are left. */
  taken(unread: number): void
}

/** @param begun tokens that were there before, and the last of them where it was not followed yet */
export function createFollower(
  follow: Follow,
  send: (id: number, position: number) => void,
  begun: { readonly tokens: number; readonly held: number | undefined } = { tokens: 0, held: undefined },
): Follower {
  let { tokens, held } = begun
  return {
    arrived(id, unread) {
      tokens++
      held = undefined
      if (tokens >= follow.limit || endsText(follow, tokens - 1, id)) return
      if (unread >= MAX_UNREAD) held = id
      else send(id, follow.start + tokens - 1)
    },
    passed(more) {
      tokens += more
    },
    taken(unread) {
      if (held === undefined || unread >= MAX_UNREAD) return
      const id = held
      held = undefined
      send(id, follow.start + tokens - 1)
    },
  }
}
