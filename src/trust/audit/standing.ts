/** What the audit log says of the policy: whether one stands that nobody has taken out. */
import { readContent } from './entry.ts'
import { lastContent } from './file.ts'

export const POLICY_IN_FORCE = 'policy.force'
export const POLICY_REMOVED = 'policy.remove'

/** SHA-256 of the policy that is in force; null: none ever was, or it was taken out. */
export function standingPolicy(path: string): string | null {
  const text = lastContent(path, POLICY_IN_FORCE, POLICY_REMOVED)
  const entry = text === undefined ? undefined : readContent(text)
  const sha256 = entry?.facts?.['sha256']
  return entry?.what === POLICY_REMOVED || typeof sha256 !== 'string' ? null : sha256
}
