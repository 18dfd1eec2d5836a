/** Members of a gossip in one process on a virtual clock: real loops, hosts, secure sums and files; models are a few numbers, trained by a stated rule. */
import {
  checkFedPlan,
  JobView,
  MemberState,
  pipePair,
  planHash,
  volatileSignedRounds,
} from '../../../src/federated/index.ts'
import type { FedPlan, Message, Pipe } from '../../../src/federated/index.ts'
import { GossipHost } from '../../../src/federated/rounds/gossip-host.ts'
import { GossipLoop } from '../../../src/federated/rounds/gossip-loop.ts'
import type { GossipNote } from '../../../src/federated/rounds/gossip-loop.ts'
import { GossipState } from '../../../src/federated/rounds/gossip-state.ts'
import { pipeThrough } from '../../../src/federated/rounds/pipe.ts'
import { bodyOf } from '../../../src/federated/rounds/wire.ts'
import { newIdentity, publicKeyBytes } from '../../../src/trust/index.ts'
import type { Identity } from '../../../src/trust/index.ts'
import { systemRandom } from '../../../src/util/index.ts'
import { virtualClock } from '../../mesh/support/virtual-clock.ts'
import type { VirtualClock } from '../../mesh/support/virtual-clock.ts'
import { memoryFiles } from './fleet.ts'
import { plan } from './hospitals.ts'

export const PARAMETERS = 3

export interface GossipMember {
  readonly identity: Identity
  readonly state: GossipState
  readonly notes: GossipNote[]
  readonly log: { readonly event: string; readonly facts: Record<string, unknown> }[]
  over: Promise<unknown>
  isOver: boolean
  /** Cut off from all others. */
  isGone: boolean
  stop(): void
}

export interface GossipInit {
  readonly sites: number
  readonly changes?: object
  /** What training makes of a model. */
  readonly train: (site: number, start: Float32Array, round: number) => Float32Array
  /** Milliseconds that it takes. */
  readonly takes?: (site: number) => number
  readonly gone?: readonly number[]
  /** Those of them that have said so. */
  readonly left?: readonly number[]
  /** What is sent in its place; may cut the sender off. */
  readonly rewrite?: (from: GossipMember, message: Message) => Message
}

export interface Gossip {
  readonly clock: VirtualClock
  readonly job: JobView<FedPlan>
  readonly members: readonly GossipMember[]
  /** Milliseconds of the virtual clock until all that are there have come to the end. */
  readonly run: (limit: number) => Promise<number>
  readonly stop: () => void
}

export async function createGossip(init: GossipInit): Promise<Gossip> {
  const clock = virtualClock()
  const random = systemRandom()
  const identities = Array.from({ length: init.sites }, () => newIdentity()).sort((a, b) => (a.id < b.id ? -1 : 1))
  const checked = checkFedPlan(
    plan({
      gossip: { group: 4 },
      strategy: { name: 'fedavg', weights: 'uniform' },
      minimum: { sites: 3, records: 64 },
      deadline: '20s',
      ...init.changes,
    }),
    'plan',
  )
  const job = new JobView({
    id: 'gossip-1',
    plan: checked,
    planHash: planHash(checked),
    members: identities.map(({ id }, index) => ({ peer: id, key: publicKeyBytes(id)!, site: `site-${index}` })),
  })
  const pooled = { records: 100 * init.sites, columns: [] }
  const state = { done: 0, pooled, global: new Float32Array(PARAMETERS), strategy: {}, clip: null }
  const members: GossipMember[] = []
  const hosts: GossipHost[] = []
  const starts: (() => Promise<void>)[] = []
  const hasLeft = (peer: string): boolean => init.left?.some((at) => identities[at]!.id === peer) === true
  const isPresent = (peer: string): boolean => members.some(({ identity, isGone }) => identity.id === peer && !isGone)

  const told = (pipe: Pipe, from: GossipMember): Pipe =>
    pipeThrough(pipe, {
      send: async (kind, body = {}, payload = new Uint8Array()) => {
        const message = { kind, body: body as Message['body'], payload }
        const other = init.rewrite?.(from, message) ?? message
        if (from.isGone) pipe.close()
        await pipe.send(other.kind, other.body, other.payload)
      },
    })
  const connect = (from: number, to: string): Promise<Pipe> => {
    const at = identities.findIndex(({ id }) => id === to)
    const [left, right] = [members[from]!, members[at]!]
    if (left.isGone || right.isGone) return Promise.reject(new Error('unreachable'))
    const [mine, theirs] = pipePair(clock, left.identity.id, to)
    void theirs
      .next(5000)
      .then((hello) => hosts[at]!.accept(told(theirs, right), bodyOf('hello', hello)))
      .catch(() => theirs.close())
    return Promise.resolve(told(mine, left))
  }

  for (const [index, identity] of identities.entries()) {
    const standing = await MemberState.open(memoryFiles())
    await standing.adopt(state, [], 1)
    const own = await GossipState.open(memoryFiles())
    const [log, notes]: [GossipMember['log'], GossipNote[]] = [[], []]
    const note = (event: string, facts: Record<string, unknown>): void => void log.push({ event, facts })
    const times = { stageMs: 20_000, graceMs: 5_000, beatMs: 2_000 }
    hosts.push(
      new GossipHost(
        { clock, self: identity, job, standing, admits: () => true, isPresent, hasLeft, times, log: note },
        () => own.step,
      ),
    )
    const loop = new GossipLoop({
      clock,
      random,
      self: identity,
      job,
      standing,
      gossip: own,
      ledger: { ...volatileSignedRounds(), charge: unused, claimed: unused },
      site: {
        records: 100,
        weights: () => Promise.resolve(new Float32Array(PARAMETERS)),
        trainFrom: async (start, round) => {
          await clock.sleep(init.takes?.(index) ?? 1000)
          return { weights: init.train(index, start, round), loss: round }
        },
      },
      connect: (peer) => connect(index, peer),
      admits: () => true,
      permit: () => undefined,
      before: undefined,
      times: { silenceMs: 10_000, retryMs: 500, skipMs: 8_000, probeMs: 2_000 },
      log: note,
      noted: (line) => Promise.resolve(void notes.push(line)),
    })
    const isGone = init.gone?.includes(index) === true
    const member: GossipMember = {
      identity,
      state: own,
      notes,
      log,
      isOver: false,
      isGone,
      over: Promise.resolve(),
      stop() {
        loop.stop()
        hosts[index]!.stop()
      },
    }
    members.push(member)
    starts.push(() => loop.run())
  }
  for (const [index, member] of members.entries()) {
    if (member.isGone) continue
    const end = (value: unknown): unknown => {
      member.isOver = true
      return value
    }
    member.over = starts[index]!().then(() => end('over'), end)
  }
  return {
    clock,
    job,
    members,
    run: async (limit) => {
      while (members.some(({ isOver, isGone }) => !isOver && !isGone) && clock.now() < limit) await clock.advance(250)
      return clock.now()
    },
    stop: () => {
      for (const member of members) member.stop()
    },
  }
}

function unused(): never {
  throw new Error('nothing is charged in a gossip')
}
