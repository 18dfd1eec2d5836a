/** R13: members stop and start again, one after the other and all at once: who they are and what they have stays. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { analysisPlan, linesOf, patients, writePatients } from '../../test/federated/support/analysis.ts'
import { answer, counter, endProcess, joined, until } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import type { JobStatus } from '../../src/federated/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { askOne, casesOf, newTally } from '../support/cases.ts'
import { seeded } from '../support/random.ts'
import { createField, MODEL, settled, spread, wholeAnswers } from './field.ts'
import type { Field } from './field.ts'
import { foundCluster } from './members.ts'
import type { Promised, Report } from './report.ts'

const clock = systemClock()
const NAMES = ['a', 'b', 'c'] as const
const REJOIN_MS = 10_000
const COLD_MS = 30_000

export const restart: Promised = {
  id: 'R13',
  title: 'restart with state, in turn and all at once',
  async run(report, isShort) {
    const field = await createField(3, ['--rtt', '4'])
    try {
      const peers = await foundCluster(field, NAMES)
      await spread(peers[0]!, peers.slice(1))
      const cases = await casesOf(peers[0]!, { model: MODEL, random: seeded(13), count: 2 })
      await spend(peers)
      const kept = await Promise.all(peers.map(stateOf))
      report.hold(
        'there is a budget that was spent',
        kept.every(({ ledger }) => ledger.includes('epsilon')),
      )
      report.hold(
        'there are weights on the disk',
        kept.every(({ weights }) => weights.files > 0),
      )
      const tally = newTally()
      const times: number[] = []
      for (const index of isShort ? [1] : [0, 1, 2]) {
        await endProcess(peers[index]!.child)
        times.push(
          await timed(async () => {
            peers[index] = await field.start(NAMES[index]!, index + 1)
            await joined(peers)
          }),
        )
        await same(report, peers[index]!, kept[index]!)
        await until('it serves', async () => (await answer(peers[0]!, cases[0]!.request)).error === undefined)
        await askOne(peers[0]!, cases[1]!, tally)
      }
      report.inject(`${times.length} members stopped and started again, one after the other`)
      report.atMost('until the slowest had joined again', Math.max(...times) / 1000, REJOIN_MS / 1000, 's')
      await coldBoot(report, field, peers, cases[0]!.request)
      for (const [index, peer] of peers.entries()) await same(report, peer, kept[index]!)
      for (const one of cases) await askOne(peers[0]!, one, tally)
      wholeAnswers(report, tally)
      await settled(report, peers, new Map())
    } finally {
      await field.stop()
    }
  },
}

/** All are killed at once, and all start at once. */
async function coldBoot(
  report: Report,
  field: Field,
  peers: RealPeer[],
  request: Parameters<typeof answer>[1],
): Promise<void> {
  for (const { child } of peers) child.kill('SIGKILL')
  await Promise.all(peers.map(({ child }) => endProcess(child)))
  let first = Infinity
  const started = clock.now()
  const all = await Promise.all(NAMES.map((name, index) => field.start(name, index + 1)))
  peers.splice(0, peers.length, ...all)
  await until('there is a token', async () => {
    const { error } = await answer(peers[0]!, request, () => (first = Math.min(first, clock.now())))
    if (error !== undefined) await clock.sleep(200)
    return first < Infinity
  })
  report.inject('all members killed with kill -9 at once, and started at once')
  report.atMost('from the start of all to the first token', (first - started) / 1000, COLD_MS / 1000, 's')
  await joined(peers)
}

async function timed(work: () => Promise<void>): Promise<number> {
  const started = clock.now()
  await work()
  return clock.now() - started
}

/** An analysis with noise, so that each site has spent some of its budget. */
async function spend(peers: readonly RealPeer[]): Promise<void> {
  const [author] = peers
  const moments = { kind: 'moments', column: 'age', range: [0, 120] }
  const plan = analysisPlan([moments], { privacy: { unit: 'record', epsilon: 2, delta: 1e-5 } })
  const { job } = (await author!.access.federated({ op: 'create', plan })) as { job: string }
  const status = async ({ access }: RealPeer): Promise<JobStatus> =>
    (await access.federated({ op: 'status', job })) as JobStatus
  for (const [index, { access, home }] of peers.entries()) {
    await mkdir(join(home, 'site'))
    const data = writePatients(join(home, 'site'), NAMES[index]!, linesOf(patients(index + 1, 90)))
    await access.federated({ op: 'join', job, data, cap: 3 })
  }
  await until('all have joined', async () => (await status(author!)).joined.length === peers.length)
  await author!.access.federated({ op: 'start', job })
  const isOver = async (): Promise<boolean> =>
    (await Promise.all(peers.map(status))).every(({ state }) => state === 'finished')
  await until('it is finished', isOver, 90_000)
}

interface Kept {
  readonly id: string
  readonly ledger: string
  readonly weights: { readonly files: number; readonly digest: string }
}

async function stateOf(peer: RealPeer): Promise<Kept> {
  const ledger = JSON.stringify(await peer.access.federated({ op: 'budget' }))
  return { id: peer.id, ledger, weights: weightsOf(peer) }
}

async function same(report: Report, peer: RealPeer, kept: Kept): Promise<void> {
  const now = await stateOf(peer)
  report.hold('the same identity', now.id === kept.id)
  report.hold(`the same ledger: ${kept.ledger} became ${now.ledger}`, now.ledger === kept.ledger)
  report.hold('the same bytes of weights on the disk', now.weights.digest === kept.weights.digest)
  report.hold('nothing was fetched', (await counter(peer, 'blob_bytes_received')) === 0)
}

/** SHA-256 over all blobs that it has. */
function weightsOf({ home }: RealPeer): Kept['weights'] {
  const folder = join(home, 'store', 'blobs')
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(folder, name)).isFile())
    .toSorted()
  const hash = createHash('sha256')
  for (const name of names) hash.update(name).update(readFileSync(join(folder, name)))
  return { files: names.length, digest: hash.digest('hex') }
}
