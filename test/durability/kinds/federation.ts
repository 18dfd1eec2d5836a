/** What a member of a federation keeps of a job: its documents, where it stands, what it was told; and what is rolled out. */
import { readFile } from 'node:fs/promises'
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { checkFedPlan, FIRST_STATE, folderFiles, MemberState } from '../../../src/federated/index.ts'
import { JobFolder } from '../../../src/federated/fleet/job-folder.ts'
import { makeJoin, makeOffer } from '../../../src/federated/fleet/documents.ts'
import { JobDamagedError } from '../../../src/federated/plan/errors.ts'
import { isReceiptSigned, readReceipt, TranscriptStore } from '../../../src/federated/fleet/transcript-store.ts'
import { DEFAULT_SPEC } from '../../../src/peer/rollouts/record.ts'
import type { RolloutRecord } from '../../../src/peer/rollouts/record.ts'
import { RolloutBook } from '../../../src/peer/rollouts/book.ts'
import { plan } from '../../federated/support/hospitals.ts'
import type { Kind, Opened, Step } from '../kind.ts'
import { identityNumber } from './membership.ts'

const throwing = (_name: string, error: unknown): never => {
  throw error as Error
}
const [SELF, OTHER] = [identityNumber(1), identityNumber(6)]
const OFFER = makeOffer(SELF, checkFedPlan(plan(), 'plan'), '2026-01-01T00:00:00.000Z')

function shownJob(folder: JobFolder | undefined): unknown {
  if (folder === undefined) return 'no job'
  return { approved: folder.site.approved, stopped: folder.site.stopped, joins: [...folder.joins.keys()] }
}

const job: Kind = {
  name: 'job of a federation',
  async open(home) {
    let [folder] = await JobFolder.openAll(join(home, 'federated'), throwing)
    const approved = { plan_hash: OFFER.plan_hash, at: '2026-01-01T00:00:00.000Z', by: 'owner' }
    const steps: Step[] = [
      { name: 'create', run: async () => (folder ??= await JobFolder.create(join(home, 'federated'), OFFER)) },
      { name: 'approve', run: () => folder!.saveSite({ approved }) },
      { name: 'join', run: () => folder!.addJoin(makeJoin(SELF, OFFER, 'a')) },
      { name: 'join of another', run: () => folder!.addJoin(makeJoin(OTHER, OFFER, 'b')) },
      { name: 'leave', run: () => folder!.removeJoin(SELF.id) },
      { name: 'stop', run: () => folder!.saveSite({ stopped: 'by a person' }) },
    ]
    return { steps, state: () => shownJob(folder), close: () => undefined }
  },
}

const state = (value: number): typeof FIRST_STATE => ({
  ...FIRST_STATE,
  pooled: { records: 100, columns: [] },
  global: Float32Array.of(value, 2),
})

/** Which sum is next, whose sum it is bound to, and its state. What nobody stands for yet is done again after a crash. */
const standing: Kind = {
  name: 'standing of a member',
  async open(home) {
    const member = await MemberState.open(folderFiles(home))
    const steps: Step[] = [
      { name: 'bind', run: () => member.bind(['a', 'b', 'c'], 3) },
      { name: 'adopt', run: () => member.adopt(state(1), [], 4) },
      { name: 'raise', run: () => (member.next < 9 ? member.raise(9) : member.bind([], 9)) },
      { name: 'adopt another', run: () => member.adopt(state(2), [], 12) },
    ]
    return { steps, state: () => shownStanding(member), close: () => undefined }
  },
  async read(home) {
    const member = await MemberState.open(folderFiles(home))
    // a state that was written before what stands for it: the member goes back to the one before
    if (!member.isCertified) await member.back()
    return shownStanding(member)
  },
}

function shownStanding({ next, current }: MemberState): unknown {
  return { next, state: [...current.state.global] }
}

const receipts: Kind = {
  name: 'receipts of rounds',
  open(home): Opened {
    const folder = join(home, 'rounds')
    const store = new TranscriptStore(folder, SELF, 2)
    const hash = new Uint8Array(32).fill(1)
    const tell = (session: number): Step => ({
      name: `told of ${session}`,
      run: () => store.told('job', { session, aggregator: OTHER.id, sid: hash, digest: hash, state: null }),
    })
    const sessions = async (): Promise<unknown> => {
      const found: number[] = []
      for (const { path } of await store.files()) {
        const receipt = readReceipt(await readFile(path))
        if (receipt === undefined || !isReceiptSigned(receipt)) throw new JobDamagedError(path, 'not signed')
        found.push(receipt.session)
      }
      return found.slice(-1)
    }
    return { steps: [tell(1), tell(2), tell(3)], state: sessions, close: () => readdirSync(home) }
  },
}

const RECORD: RolloutRecord = {
  schema: 'weft.rollout/1',
  model: 'clinic',
  alias: 'clinic@live',
  job: 'job',
  spec: DEFAULT_SPEC,
  live: null,
  previous: null,
  candidate: null,
  seen: 0,
  ended: false,
  steps: [],
}

const rollouts: Kind = {
  name: 'roll-outs',
  prepare(home) {
    mkdirSync(join(home, 'state'))
  },
  async open(home) {
    const book = await RolloutBook.open(join(home, 'state', 'rollouts'), throwing)
    const see = (seen: number): Step => ({ name: `see ${seen}`, run: () => book.save({ ...RECORD, seen }) })
    return {
      steps: [see(1), see(2), see(3)],
      state: () => book.list().map(({ alias, seen }) => `${alias} ${seen}`),
      close: () => undefined,
    }
  },
}

export const KINDS: readonly Kind[] = [job, standing, receipts, rollouts]
