/** Signed results as an auditor sees them: by whom they are signed, by enough or not, and whether they fit what was summed. */
import { canonicalJson } from '../../util/index.ts'
import type { JobView } from '../rounds/job-view.ts'
import type { RoundResult } from '../rounds/signed-result.ts'
import { validSigners } from '../rounds/signed-result.ts'
import type { Vote } from '../rounds/wire.ts'
import type { AuditedRound, Finding } from './audit-round.ts'
import type { SignedResult } from './signed-results.ts'

export interface AuditedResult {
  readonly step: number
  readonly session: number
  readonly model: string
  /** PeerIds of those who signed it. */
  readonly signers: readonly string[]
  /** Signatures that a result needs. */
  readonly needed: number
  readonly findings: readonly Finding[]
}

export interface FoundResult {
  readonly path: string
  /** Undefined: the file is none. */
  readonly signed: SignedResult | undefined
}

/**
 * Copies in several exports are one result, with the signatures of all of them.
 * @param odd told of files that are of nobody
 */
export function auditResults(
  job: JobView,
  files: readonly FoundResult[],
  rounds: readonly AuditedRound[],
  odd: (kind: string, session: number | null, what: string) => void,
): AuditedResult[] {
  const plan = Buffer.from(job.planHash).toString('hex')
  const known = new Map<string, { readonly result: RoundResult; readonly votes: Vote[] }>()
  for (const { path, signed } of files) {
    if (signed === undefined) {
      odd('result-damaged', null, `${path} is no signed result`)
      continue
    }
    const { result, signatures } = signed
    if (result.job !== job.id || result.plan !== plan) {
      odd('other-job', null, `${path} is of job ${result.job} with plan ${result.plan}`)
      continue
    }
    const valid = validSigners(result, signatures, job.peers)
    for (const { peer } of signatures) {
      if (valid.some((one) => one.peer === peer)) continue
      odd('result-forged', result.session, `${path} has a signature in the name of ${peer} that is not its`)
    }
    const key = canonicalJson(result)
    const { votes } = known.get(key) ?? { votes: [] }
    known.set(key, { result, votes: [...votes, ...valid] })
  }
  const all = [...known.values()].sort((left, right) => left.result.step - right.result.step)
  return all.map(({ result, votes }) => {
    const signers = validSigners(result, votes, job.peers).map(({ peer }) => peer)
    const { step, session, model } = result
    const findings: Finding[] = []
    const find = (kind: string, what: string): void => void findings.push({ kind, session, about: null, what })
    const needed = job.math.t
    if (signers.length < needed) {
      find(
        'result-few',
        `a result of sum ${step} is signed by ${signers.length} members, and ${needed} are needed: it is none`,
      )
    }
    for (const other of all) {
      if (other.result === result || other.result.step !== step || signers.length < needed) continue
      const others = validSigners(other.result, other.votes, job.peers)
      const both = others.flatMap(({ peer }) => (signers.includes(peer) ? [peer] : []))
      if (others.length >= needed) {
        find(
          'result-twice',
          `sum ${step} has another result with enough signatures; both are signed by ${both.join(', ')}`,
        )
      }
    }
    const { state = null, told = null } = rounds.find((one) => one.session === session) ?? {}
    if (state !== null && state !== model) {
      find('result-model', `it names the model ${model}, and the sum of session ${session} makes ${state}`)
    }
    if (told !== null && told !== result.transcript) {
      find(
        'result-transcript',
        `members signed that they were told ${result.transcript}, and the transcript gives ${told}`,
      )
    }
    return { step, session, model, signers, needed, findings }
  })
}
