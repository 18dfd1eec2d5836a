/**
 * The policy of a running site: read at the start, and again when its file changes. A file with a mistake changes nothing;
 * a file that others could have written is not read; one that is gone without having been taken out leaves what was in force
 * in force until the peer starts anew, and then it does not start.
 */
import type { CancelTimer, Clock } from '../../util/index.ts'
import type { Policy } from './compile.ts'
import { decide } from './decide.ts'
import type { Certainty } from './decide.ts'
import { PolicyMissingError } from './errors.ts'
import { policyStamp, readPolicyFile } from './file.ts'
import type { Decision, PolicyRequest } from './types.ts'

/** A change is in force so soon. */
const LOOK_MS = 1_000

export interface SitePolicy {
  /** Null: there is none, and everything is allowed. */
  current(): Policy | null
  decide(request: PolicyRequest, certainty?: Certainty): Decision
  /** Why the file is not what is in force; null: it is. */
  trouble(): string | null
  /** Looks at the file now. */
  look(): Promise<void>
  stop(): void
}

export interface SitePolicyNeeds {
  readonly clock: Clock
  /** SHA-256 of the policy that was in force last, and that nobody has taken out; null: there was none. */
  standing(): string | null
  /** What is in force changed. */
  changed(policy: Policy | null): void
  /** The file changed, and is not used. */
  refused(error: Error): void
}

export interface SitePolicyInit {
  readonly path: string
  /** Whether changes are looked for. */
  readonly watch: boolean
}

const NONE: Decision = { allow: true, rule: 'none', why: 'this site has no policy' }

/** @throws PolicyFileError, PolicyAccessError, PolicyMissingError */
export async function openSitePolicy(needs: SitePolicyNeeds, init: SitePolicyInit): Promise<SitePolicy> {
  const { path } = init
  let stamp = await policyStamp(path)
  const required = stamp === null ? needs.standing() : null
  if (required !== null) throw new PolicyMissingError(path, required)
  let policy = stamp === null ? null : (await readPolicyFile(path)).policy
  let trouble: string | null = null
  let stopped = false
  let cancel: CancelTimer = () => undefined

  const look = async (): Promise<void> => {
    try {
      const now = await policyStamp(path)
      if (now === stamp) {
        // Put back as it was, or closed to others again: that changes nothing of what the stamp has.
        trouble = null
        return
      }
      if (now === null && needs.standing() !== null) throw new PolicyMissingError(path, policy?.sha256 ?? '')
      const next = now === null ? null : (await readPolicyFile(path)).policy
      stamp = now
      trouble = null
      if (next?.sha256 === policy?.sha256) return
      policy = next
      needs.changed(policy)
    } catch (error) {
      const why = (error as Error).message
      if (trouble !== why) needs.refused(error as Error)
      trouble = why
    }
  }
  const again = (): void => {
    if (stopped || !init.watch) return
    cancel = needs.clock.after(LOOK_MS, () => void look().then(again))
  }
  again()
  return {
    current: () => policy,
    decide: (request, certainty) => (policy === null ? NONE : decide(policy, request, needs.clock.wall(), certainty)),
    trouble: () => trouble,
    look,
    stop() {
      stopped = true
      cancel()
    },
  }
}
