/** A change that several admins have to sign: a file that goes from one to the next, until it has signatures enough. */
import { z } from 'zod'
import { canonicalJson } from '../../util/index.ts'
import { decodeEntry, makeEntry, signaturesNeeded, signBody } from '../membership/index.ts'
import type { Cluster, Entry, EntryBody } from '../membership/index.ts'
import { NotAdminError, ProposalError } from './errors.ts'

const schema = z.strictObject({
  schema: z.literal('weft.cluster-proposal/1'),
  cluster: z.string(),
  needed: z.int(),
  entry: z.unknown(),
})

export interface Proposal {
  readonly entry: Entry
  readonly needed: number
  /** Signatures that are still missing; 0: it may be applied. */
  readonly missing: number
}

const BEHIND_HINT = 'Start it (weft up), wait until it has met another member, and sign again.'

export type Proposed =
  | { readonly applied: true; readonly entry: Entry }
  | { readonly applied: false; readonly proposal: Proposal; readonly text: string }

function proposalOf(cluster: Cluster, entry: Entry): Proposal {
  const needed = signaturesNeeded(cluster.log.state, entry.body)
  return { entry, needed, missing: Math.max(0, needed - entry.signatures.length) }
}

function textOf(cluster: Cluster, { entry, needed }: Proposal): string {
  const value = JSON.parse(Buffer.from(entry.bytes).toString()) as unknown
  return `${canonicalJson({ schema: 'weft.cluster-proposal/1', cluster: cluster.id, needed, entry: value })}\n`
}

function settle(cluster: Cluster, entry: Entry): Proposed {
  const proposal = proposalOf(cluster, entry)
  if (proposal.missing > 0) return { applied: false, proposal, text: textOf(cluster, proposal) }
  cluster.take(entry)
  return { applied: true, entry }
}

/** Signs it here; it stands at once where that is enough. @throws NotAdminError, EntryRefusedError */
export function propose(cluster: Cluster, body: EntryBody): Proposed {
  if (!cluster.isAdmin) throw new NotAdminError()
  return settle(cluster, makeEntry(body, [signBody(body, cluster.needs.identity)]))
}

/** @throws ProposalError, EntryFormError */
export function readProposal(cluster: Cluster, text: string): Proposal {
  const result = schema.safeParse(parsed(text))
  if (!result.success) throw new ProposalError('the file is none')
  if (result.data.cluster !== cluster.id) throw new ProposalError('it is for another cluster')
  const entry = decodeEntry(Buffer.from(canonicalJson(result.data.entry)))
  const { head } = cluster
  if (entry.body.height > head.height + 1)
    throw new ProposalError('this peer has not heard of all changes before it', BEHIND_HINT)
  if (entry.body.height !== head.height + 1 || entry.body.previous !== head.hash)
    throw new ProposalError('the membership has changed since it was made')
  return proposalOf(cluster, entry)
}

/** Adds the signature of this peer; it stands where that is enough. @throws as `readProposal`, NotAdminError */
export function signProposal(cluster: Cluster, text: string): Proposed {
  if (!cluster.isAdmin) throw new NotAdminError()
  const { entry } = readProposal(cluster, text)
  const { identity } = cluster.needs
  const signatures = entry.signatures.filter(({ by }) => by !== identity.id)
  return settle(cluster, makeEntry(entry.body, [...signatures, signBody(entry.body, identity)]))
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
