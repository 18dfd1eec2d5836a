/** Members of a federation in one process, over pipes in memory: real training, real secure sums, real ledgers. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { createOrtEngine } from '../../../src/onnx/index.ts'
import {
  checkFedPlan,
  Coordinator,
  JobView,
  MemberLoop,
  MemberState,
  openPrivacyLedger,
  pipePair,
  planHash,
  readFedData,
  Site,
  SiteTrainer,
  wordsFrom,
} from '../../../src/federated/index.ts'
import type {
  CoordinatorNeeds,
  FedPlan,
  Filter,
  MemberNeeds,
  Message,
  Pipe,
  PrivacyLedger,
  StateFiles,
} from '../../../src/federated/index.ts'
import { bodyOf } from '../../../src/federated/index.ts'
import { newIdentity, publicKeyBytes, verify } from '../../../src/trust/index.ts'
import type { Identity } from '../../../src/trust/index.ts'
import { systemClock, systemRandom } from '../../../src/util/index.ts'
import { writeSite } from './hospitals.ts'

export const clock = systemClock()
const random = systemRandom()

/** Short, so that whoever is gone is missed at once. */
export const TIMES = {
  coordinator: { stageMs: 500, graceMs: 100, beatMs: 80 },
  member: { silenceMs: 600, retryMs: 30, skipMs: 300, probeMs: 150 },
}

/** Whoever is slow on a busy machine is waited for; whoever is gone has closed its pipe. */
export const PATIENT = {
  coordinator: { stageMs: 20_000, graceMs: 300, beatMs: 80 },
  member: { silenceMs: 10_000, retryMs: 30, skipMs: 300, probeMs: 150 },
}

export function memoryFiles(): StateFiles & { readonly files: Map<string, Uint8Array> } {
  const files = new Map<string, Uint8Array>()
  return {
    files,
    read: (name) => Promise.resolve(files.get(name)),
    write: (name, bytes) => Promise.resolve(void files.set(name, bytes)),
  }
}

export interface Member {
  readonly identity: Identity
  readonly site: string
  readonly standing: MemberState
  readonly coordinator: Coordinator
  readonly loop: MemberLoop
  readonly ledger: PrivacyLedger
  readonly trainer: SiteTrainer
  readonly log: { readonly event: string; readonly facts: Record<string, unknown> }[]
  readonly over: Promise<unknown>
  /** Cut off from all others, in both directions. */
  isGone: boolean
  end(): void
}

export interface FleetInit {
  readonly folder: string
  readonly plan: object
  readonly rows: readonly (readonly string[])[]
  /** Told of every message, in the order of sending; may cut the sender off. */
  readonly onMessage?: (from: Member, to: Member, kind: string, body: object, payload: Uint8Array) => void
  /** What is sent in its place. */
  readonly rewrite?: (from: Member, message: Message) => Message | undefined
  readonly admits?: (peer: string) => boolean
  readonly filter?: (member: string) => Filter | undefined
  readonly cap?: number
  /** Given the messages of each round that a member has summed. */
  readonly keep?: CoordinatorNeeds['keep']
  readonly keepSums?: CoordinatorNeeds['keepSums']
  readonly times?: typeof TIMES
  readonly changed?: Partial<MemberNeeds>
  /** What takes part in its place. */
  readonly siteOf?: (index: number, site: Site) => MemberNeeds['site']
  /** PeerId of a member that does nothing until it is started again. */
  readonly asleep?: (job: JobView) => string
  /** Files of a member, in place of those in memory. */
  readonly filesOf?: (index: number) => StateFiles
}

export interface Fleet {
  readonly plan: FedPlan
  readonly job: JobView
  readonly members: readonly Member[]
  /** Starts a member (again), from its files. */
  start(index: number): Promise<Member>
  stop(): Promise<void>
}

export async function createFleet(init: FleetInit): Promise<Fleet> {
  const plan = checkFedPlan(init.plan, 'plan')
  const identities = init.rows.map(() => newIdentity()).sort((a, b) => (a.id < b.id ? -1 : 1))
  const names = init.rows.map((_, index) => `site-${index}`)
  const job = new JobView({
    id: 'job-1',
    plan,
    planHash: planHash(plan),
    members: identities.map(({ id }, index) => ({ peer: id, key: publicKeyBytes(id)!, site: names[index]! })),
  })
  const files = init.rows.map((_, index): StateFiles => init.filesOf?.(index) ?? memoryFiles())
  const members: Member[] = []
  const paths = init.rows.map((rows, index) => writeSite(init.folder, names[index]!, rows))
  const times = init.times ?? TIMES

  const connect = (from: Member, to: string): Promise<Pipe> => {
    const other = members.find(({ identity }) => identity.id === to)
    if (other === undefined || other.isGone || from.isGone) return Promise.reject(new Error('unreachable'))
    const [mine, theirs] = pipePair(clock, from.identity.id, to)
    const told = (pipe: Pipe, sender: Member, receiver: Member): Pipe => ({
      ...spread(pipe),
      send: async (kind, body, payload) => {
        init.onMessage?.(sender, receiver, kind, body ?? {}, payload ?? new Uint8Array())
        if (sender.isGone || receiver.isGone) pipe.close()
        const message = { kind, body: body as Message['body'], payload: payload ?? new Uint8Array() }
        const other = init.rewrite?.(sender, message) ?? message
        await pipe.send(other.kind, other.body, other.payload)
      },
    })
    void (async () => {
      const hello: Message = await theirs.next(5000)
      await other.coordinator.accept(told(theirs, other, from), bodyOf('hello', hello))
    })().catch(() => theirs.close())
    return Promise.resolve(told(mine, from, other))
  }

  const start = async (index: number): Promise<Member> => {
    const identity = identities[index]!
    const folder = join(init.folder, names[index]!)
    mkdirSync(join(folder, 'keys'), { recursive: true })
    const ledger = openPrivacyLedger(
      {
        signer: {
          sign: (bytes) => identity.sign(bytes),
          verify: (bytes, signature) => verify(identity.id, bytes, signature),
        },
        wall: () => clock.wall(),
      },
      { path: join(folder, 'ledger.db'), anchor: join(folder, 'keys', 'ledger.anchor') },
    )
    const { privacy = 'off' } = plan
    if (privacy !== 'off' && ledger.budgets().length === 0) {
      ledger.setCap({
        data: names[index]!,
        unit: privacy.unit,
        epsilon: init.cap ?? privacy.epsilon,
        delta: privacy.delta,
      })
    }
    const needs = { clock, engine: createOrtEngine(), folder, threads: 1 }
    const trainer = await SiteTrainer.open(needs, plan, await readFedData(paths[index]!))
    const standing = await MemberState.open(files[index]!)
    const log: Member['log'] = []
    const note = (event: string, facts: Record<string, unknown>): void => void log.push({ event, facts })
    const filter = init.filter?.(identity.id)
    const coordinator = new Coordinator({
      clock,
      self: identity,
      job,
      standing,
      admits: init.admits ?? (() => true),
      isPresent: (peer) => members.some((other) => other.identity.id === peer && !other.isGone),
      times: times.coordinator,
      log: note,
      ...(filter === undefined ? {} : { filter }),
      keep: init.keep,
      keepSums: init.keepSums,
    })
    const site = new Site(
      trainer,
      job.math,
      wordsFrom((length) => random.bytes(length)),
    )
    const loop = new MemberLoop({
      clock,
      random,
      self: identity,
      job,
      standing,
      site: init.siteOf?.(index, site) ?? site,
      ledger,
      dataset: names[index]!,
      connect: (peer) => connect(members[index]!, peer),
      progress: (peer) => {
        const other = members.find(({ identity: { id } }) => id === peer)
        const isThere = other?.isGone === false && !members[index]!.isGone
        return Promise.resolve(isThere ? other.standing.base : undefined)
      },
      permit: () => undefined,
      admits: init.admits ?? (() => true),
      times: times.member,
      log: note,
      applied: (_, facts) => Promise.resolve(note('applied', { ...facts })),
      ...init.changed,
    })
    const member: Member = {
      identity,
      site: names[index]!,
      standing,
      coordinator,
      loop,
      ledger,
      trainer,
      log,
      isGone: false,
      over: Promise.resolve(),
      end() {
        this.isGone = true
        loop.stop()
        coordinator.stop()
      },
    }
    if (members[index] === undefined && init.asleep?.(job) === identity.id) member.end()
    members[index] = member
    ;(member as { over: Promise<unknown> }).over = loop.run().then(
      () => 'over',
      (error: unknown) => error,
    )
    return member
  }
  for (const index of init.rows.keys()) await start(index)
  return {
    plan,
    job,
    members,
    start,
    async stop() {
      for (const member of members) member.end()
      await Promise.all(members.map(({ over }) => over))
      for (const { trainer } of members) await trainer.close()
    },
  }
}

/** A pipe's own members, so that one of them can be replaced. */
function spread(pipe: Pipe): Pipe {
  return {
    remote: pipe.remote,
    send: (kind, body, payload) => pipe.send(kind, body, payload),
    next: (wait) => pipe.next(wait),
    get isOpen() {
      return pipe.isOpen
    },
    onEnd: (action) => pipe.onEnd(action),
    close: () => pipe.close(),
  }
}

/** Waits until all have come to the end of the job, each with the same state. */
export async function areOver(members: readonly Member[]): Promise<void> {
  expect(await Promise.all(members.map(({ over }) => over))).toEqual(members.map(() => 'over'))
  expect(new Set(members.map(({ standing }) => Buffer.from(standing.current.hash).toString('hex'))).size).toBe(1)
}
