/**
 * Sixty-six members over real networks (TCP, Noise, channels), several in a process: each shares with its neighbours alone. A tenth of
 * them, a process of their own, is killed at each stage of a round, twice in a row, and comes back from its files: each sum is
 * exactly that of who is in it, no key serves twice, and an auditor makes every model again.
 */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { auditFolder, sharingOf, unpack } from '../../src/federated/index.ts'
import type { JobStatus } from '../../src/federated/index.ts'
import { TRANSCRIPT_FILE } from '../../src/federated/fleet/transcript-store.ts'
import { decodeState } from '../../src/federated/rounds/state.ts'
import { decodeTranscript } from '../../src/federated/rounds/transcript.ts'
import { publicKeyBytes } from '../../src/trust/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { GatedTrainer, Replay } from '../integration/fed-buffered.ts'
import { faultsOf, saidBy } from '../integration/fed-recorded.ts'
import { until } from '../integration/support.ts'
import { isLong, sampled } from '../whole.ts'
import { hospitalRows, plan, temporaryFolder, writeSite } from './support/hospitals.ts'
import { identityAt } from './support/hosted.ts'
import type { HostCall, HostInit, HostWord } from './support/hosted.ts'

const MEMBERS = 66
/** A tenth, in a process of their own. */
const GONE = 7
const IN_A_PROCESS = 15
const LIMIT_MS = 240_000
const F = 16

/** Messages before which the tenth is killed, and whether their vectors are in the sum then. */
const STAGES = sampled(
  [
    ['piece', false],
    ['reveal', true],
    ['advertise', false],
    ['shares', false],
    ['consistency', true],
  ] as const,
  1,
)
/** Each kill costs a round or two, and the process takes as long as another one to come back. */
const ROUNDS = 2 + 6 * STAGES.length

const clock = systemClock()
const all = Array.from({ length: MEMBERS }, (_, at) => at)
const stay = all.slice(GONE)
const gone = all.slice(0, GONE)
const ids = all.map((at) => identityAt(at).id)
/** Of each coordinate of a site's update: whole units of the encoding, of no two sites the same. */
const updateOf = (at: number): number => (at + 1) / 2 ** 10

type Asked = HostCall extends infer Call ? (Call extends HostCall ? Omit<Call, 'call' | 'at'> : never) : never

/** A process with sites in it. */
class Host {
  readonly sites: readonly number[]
  readonly held = new Set<number>()
  readonly #child: ChildProcess
  readonly #answers = new Map<number, (word: { result?: unknown; error?: string }) => void>()
  #calls = 0

  private constructor(child: ChildProcess, sites: readonly number[]) {
    this.#child = child
    this.sites = sites
    child.on('message', (word: HostWord) => {
      if ('held' in word) this.held.add(word.held)
      else if ('call' in word) this.#answers.get(word.call)?.(word)
    })
  }

  static async start(init: HostInit): Promise<Host> {
    const program = fileURLToPath(new URL('support/site-host.ts', import.meta.url))
    const child = fork(program, [JSON.stringify(init)], { execArgv: ['--disable-warning=ExperimentalWarning'] })
    const host = new Host(child, init.sites)
    await new Promise<void>((resolve, reject) => {
      child.once('exit', (code) => reject(new Error(`a process with sites ended with ${code}`)))
      child.on('message', (word: HostWord) => {
        if ('ready' in word) resolve()
      })
    })
    return host
  }

  async ask<T>(at: number, asked: Asked): Promise<T> {
    const call = ++this.#calls
    const answer = new Promise<{ result?: unknown; error?: string }>((resolve) => this.#answers.set(call, resolve))
    this.#child.send({ ...asked, at, call })
    const { result, error } = await answer
    this.#answers.delete(call)
    if (error !== undefined) throw new Error(error)
    return result as T
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill(signal)
    await ended
  }
}

const COMMON = { members: MEMBERS, author: GONE }

let folder: string
const hosts: Host[] = []
let job: string

const hostOf = (at: number): Host => hosts.find(({ sites }) => sites.includes(at))!
const statusOf = (at: number): Promise<JobStatus> => hostOf(at).ask(at, { op: 'status', job })

/** An author of 66 at once on a slow machine may answer too late: then it is asked again. */
async function joinedBy(at: number, data: string, trainer: string): Promise<void> {
  const isIn = (): Promise<boolean> =>
    hostOf(at)
      .ask(at, { op: 'join', job, data, trainer })
      .then(
        () => true,
        (error: unknown) => {
          if (/JobUnknownError/.test(String(error))) return false
          throw error
        },
      )
  await until('it has found the offer', isIn, LIMIT_MS)
}

async function begin(): Promise<void> {
  const wanted = plan({
    name: 'many',
    model: { kind: 'linear' },
    init: 'zeros',
    rounds: ROUNDS,
    // So small that a model is zero beside an update: what a site adds is exact in whole units.
    strategy: { name: 'fedavg', weights: 'uniform', server_lr: 2 ** -40 },
    deadline: '120s',
    transcripts: 100,
  })
  const data = all.map((at) => writeSite(folder, `site-${at}`, hospitalRows(at + 1, 10)))
  const replay = await Replay.open(join(folder, 'replay'), wanted, data.slice(0, 3))
  const programs = await Promise.all(
    all.map(async (at) => {
      const program = new GatedTrainer(join(folder, `m${at}`))
      await program.give(replay.updateOf(updateOf(at)))
      return program.command
    }),
  )
  await replay.close()
  const first = COMMON.author
  job = (await hostOf(first).ask<{ job: string }>(first, { op: 'create', plan: wanted })).job
  for (const at of all) await joinedBy(at, data[at]!, programs[at]!)
  await until('all have joined', async () => (await statusOf(first)).joined.length === MEMBERS, LIMIT_MS)
  await hostOf(first).ask(first, { op: 'start', job })
}

beforeAll(async () => {
  if (!isLong) return
  folder = temporaryFolder()
  for (let from = GONE; from < MEMBERS; from += IN_A_PROCESS) {
    const sites = stay.filter((at) => at >= from && at < from + IN_A_PROCESS)
    hosts.push(await Host.start({ folder, sites, ...COMMON }))
  }
  hosts.push(await Host.start({ folder, sites: gone, ...COMMON }))
  const areConnected = async (): Promise<boolean> => {
    const counts = await Promise.all(all.map((at) => hostOf(at).ask<number>(at, { op: 'connected' })))
    return counts.every((count) => count > 0)
  }
  await until('all are connected with the author', areConnected, LIMIT_MS)
  await begin()
}, 600_000)

afterAll(async () => {
  await Promise.all(hosts.map((host) => host.end()))
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
})

/** The tenth in a process of its own again, held before that message. */
async function back(hold?: string): Promise<Host> {
  const before = hosts.pop()!
  await before.end('SIGKILL')
  const host = await Host.start({ folder, sites: gone, ...COMMON, hold })
  hosts.push(host)
  return host
}

interface Struck {
  readonly round: number
  readonly isIn: boolean
  readonly aggregator: string | null
}

/** Kills the tenth when it is at that message; whom the others wait for then, as they say. */
async function strike(hold: string, isIn: boolean): Promise<Struck> {
  const host = await back(hold)
  await until(`they are held before "${hold}"`, () => host.held.size >= GONE - 1, LIMIT_MS)
  const { round, aggregator } = await statusOf(stay[0]!)
  await host.end('SIGKILL')
  let [isTold, isMade] = [false, false]
  const wanted = gone
    .map((at) => ids[at]!)
    .sort()
    .join()
  await until(
    'the others go on, and say for whom they wait',
    async () => {
      const states = await Promise.all(stay.map(statusOf))
      isTold ||= states.some(({ waits }) => waits !== null && [...waits.for].sort().join() === wanted)
      isMade ||= states.some((one) => one.round > round)
      // A sum that was signed is made again of the same: then they wait until the tenth is back.
      return isTold && (isMade || states.some(({ waits }) => waits?.why.startsWith('their sum was signed') === true))
    },
    LIMIT_MS,
  )
  return { round, isIn, aggregator }
}

describe.runIf(isLong)('a federation of 66 members', () => {
  test('bears a tenth of them gone at each stage, twice in a row: exact sums, no key twice, and every model made again', async () => {
    await until('it has begun', async () => (await statusOf(stay[0]!)).round >= 1, LIMIT_MS)
    const struck: Struck[] = []
    for (const [hold, isIn] of STAGES) struck.push(await strike(hold, isIn), await strike(hold, isIn))
    const began = (await statusOf(stay[0]!)).round
    await back()
    const [before, since] = [await cpu(), clock.now()]
    const areOver = async (): Promise<boolean> =>
      (await Promise.all(all.map(statusOf))).every(({ state }) => state === 'finished')
    await until('all are finished', areOver, LIMIT_MS)
    const [spent, took] = [(await cpu()) - before, clock.now() - since]
    const states = await Promise.all(all.map(statusOf))
    expect(new Set(states.map(({ model }) => model)).size).toBe(1)

    const out = join(folder, 'exports')
    for (const at of all) await hostOf(at).ask(at, { op: 'export', job, out: join(out, `m${at}`) })
    const report = await auditFolder(out)
    expect(report.findings).toEqual([])
    expect([...report.rounds, ...report.results].flatMap(({ findings }) => findings)).toEqual([])
    const made = new Map(
      report.results.flatMap(({ step, model, session }) => {
        const sum = report.rounds.find((one) => one.session === session && one.state === model)
        return sum === undefined ? [] : [[step, sum.members] as const]
      }),
    )
    expect([...made.keys()].sort((left, right) => left - right)).toEqual(
      Array.from({ length: ROUNDS + 1 }, (_, step) => step + 1),
    )
    for (const { round, isIn, aggregator } of struck) {
      if (gone.some((at) => ids[at] === aggregator)) continue
      const members = made.get(round + 2)!
      expect([round, members.length]).toEqual([round, isIn ? MEMBERS : MEMBERS - GONE])
    }
    expectSums(out)
    expect(faultsOf(all.map((at) => saidBy(join(folder, `m${at}`, 'kept'))))).toEqual([])
    const rounds = ROUNDS - began
    process.stderr.write(
      `66 members: ${Math.round(took / rounds)} ms a round, ${Math.round(spent / rounds / MEMBERS)} ms of processor time a member and round, over ${rounds} rounds\n`,
    )
  }, 1_500_000)
})

async function cpu(): Promise<number> {
  const each = await Promise.all(hosts.map((host) => host.ask<NodeJS.CpuUsage>(host.sites[0]!, { op: 'cpu' })))
  return each.reduce((sum, { user, system }) => sum + (user + system) / 1000, 0)
}

/** Each sum that an aggregator kept is, in whole units, that of the updates of who is in it; each shares with its neighbours alone. */
function expectSums(out: string): void {
  const { graph } = sharingOf(MEMBERS)
  expect(graph).toMatchObject({ kind: 'regular' })
  const places = new Map(all.map((at) => [Buffer.from(publicKeyBytes(ids[at]!)!).toString('hex'), at]))
  const seen = new Set<number>()
  for (const at of all) {
    for (const name of readdirSync(join(out, `m${at}`), { recursive: true, encoding: 'utf8' })) {
      if (!TRANSCRIPT_FILE.test(name.slice(name.lastIndexOf('/') + 1))) continue
      const { transcript } = decodeTranscript(new Uint8Array(readFileSync(join(out, `m${at}`, name))))
      const { roster, survivors, sum, session } = transcript
      const { pooled, global } = decodeState(transcript.before)
      seen.add(session)
      // The first is of the statistics.
      if (pooled === null) continue
      const keys = roster.map(({ identity }) => Buffer.from(identity).toString('hex')).sort()
      const sites = survivors.map(({ position }) => places.get(keys[position]!)!)
      const words = unpack(sum, 32, sum.length / 4)
      const units = sites.reduce((total, site) => total + updateOf(site) * 2 ** F, 0)
      expect([session, ...words.slice(0, global.length)]).toEqual([session, ...Array.from(global, () => units)])
    }
  }
  expect(seen.size).toBeGreaterThan(ROUNDS)
}
