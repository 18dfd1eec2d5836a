/** What an origin asks of a hop beside the session itself: to feed a shadow, to account for rows. */
import type { Frame } from '../../net/index.ts'
import { accountOf } from './accounts.ts'
import { admitFeed } from './admission.ts'
import type { Sessions } from './admission.ts'
import type { Hop } from './hop.ts'
import type { Link } from './links.ts'
import { feedShadow } from './onward.ts'
import type { OnwardNeeds } from './onward.ts'
import { decodeFeed, RING } from './protocol.ts'
import type { SiteGate } from './site-gate.ts'

export interface QuestionNeeds {
  readonly sessions: Sessions
  readonly onward: OnwardNeeds
  readonly gate: SiteGate
}

/**
 * What fails here costs the session nothing: the origin of a shadow hears nothing from it and looks for another, and who has
 * asked for an account has gone, or takes no answer for one.
 */
export async function answerQuestion(needs: QuestionNeeds, hop: Hop, from: Link, message: Frame): Promise<void> {
  try {
    if (message.type === RING.account) return await from.send(await accountOf(hop, message))
    const feed = decodeFeed(message)
    admitFeed(needs.sessions, hop, feed, needs.gate)
    await feedShadow(needs.onward, hop, feed)
  } catch {
    return undefined
  }
}
