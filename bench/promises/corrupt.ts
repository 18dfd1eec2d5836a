/** R7: bits that turn over on the way. Below the encryption it is the connection that ends, above it the frame is refused. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { answer, counter, greedy, joined, until } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import { systemClock } from '../../src/util/index.ts'
import { askOne, casesOf, newTally } from '../support/cases.ts'
import type { Tally } from '../support/cases.ts'
import { seeded } from '../support/random.ts'
import { at, createField, footprints, MODEL, settled, spread, wholeAnswers } from './field.ts'
import type { Promised, Report } from './report.ts'

const clock = systemClock()
const PROXY = fileURLToPath(new URL('flipping-proxy.ts', import.meta.url))
const PEER = fileURLToPath(new URL('flipping-peer.ts', import.meta.url))
const PORT = 7_334
const USERS = 3

export const corrupt: Promised = {
  id: 'R7',
  title: 'corrupt frames, one in 1000',
  async run(report, isShort) {
    const ms = isShort ? 10_000 : 120_000
    await below(report, ms, isShort ? 100 : 1000)
    await above(report, ms, isShort ? 100 : 1000)
  },
}

/** The second of three is reached by a proxy alone, which flips bits of what passes. */
async function below(report: Report, ms: number, oneIn: number): Promise<void> {
  const field = await createField(4, ['--rtt', '4'])
  const listen = ['--listen', `/ip4/0.0.0.0/tcp/${PORT}`, '--lan', 'off']
  let proxy: ReturnType<typeof spawn> | undefined
  try {
    const b = await field.start('b', 2, listen)
    for (const other of [1, 4]) {
      field.deafen(2, other)
      field.deafen(other, 2)
    }
    const own = [process.execPath, PROXY, at(2), String(b.pid), at(3), String(oneIn)] as const
    const [file = '', ...rest]: string[] = [...field.on(3), ...own]
    proxy = spawn(file, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
    let flips = -1
    proxy.stdout!.on('data', (text: Buffer) => (flips += text.toString().split('\n').length - 1))
    await once(proxy.stdout!, 'data')
    const through = ['--bootstrap', `/ip4/${at(3)}/tcp/${PORT}/p2p/${b.id}`]
    const a = await field.start('a', 1, [...listen, ...through, '--memory', '20MB'])
    const near = ['--bootstrap', `/ip4/${at(1)}/tcp/${PORT}/p2p/${a.id}`]
    const c = await field.start('c', 4, [...listen, ...through, ...near])
    const peers = [a, b, c] as const
    await spread(a, [b, c])
    // The port of lanes is open from the first on, and mirrored only then: all begin anew, and find it.
    await answer(a, greedy(MODEL, 4))
    proxy.kill('SIGUSR2')
    await until('the connections have ended', async () => (await counter(a, 'peers_lost')) > 0)
    await joined(peers)
    const sound = await answer(a, greedy(MODEL, 4))
    if (sound.error !== undefined) throw sound.error
    const lanes = await counter(b, 'lanes_opened')
    const before = footprints(peers)
    const tally = await asked([a, b, c], ms, () => proxy!.kill('SIGUSR1'))
    report.inject(`a TCP proxy below the encryption turned a bit over in one of ${oneIn} chunks: ${flips} times`)
    report.hold('bits were turned over', flips > 0)
    report.hold('lanes go through the proxy, too', lanes > 0)
    wholeAnswers(report, tally)
    report.measure(
      `${tally.reroutes} routes changed, ${tally.failovers} stages replaced, ${tally.replayed} rows fed again`,
    )
    report.hold('a route was changed for it', tally.reroutes > 0)
    proxy.kill('SIGKILL')
    proxy = spawn(file, rest, { stdio: ['ignore', 'ignore', 'inherit'] })
    await settled(report, peers, before)
  } finally {
    proxy?.kill('SIGKILL')
    await field.stop()
  }
}

/** The second of three damages what it says. */
async function above(report: Report, ms: number, oneIn: number): Promise<void> {
  const field = await createField(3, ['--rtt', '4'])
  try {
    const b = await field.startProgram('b', 2, PEER)
    const [a, c] = await Promise.all([field.start('a', 1, ['--memory', '20MB']), field.start('c', 3)])
    const peers = [a, b, c] as const
    await spread(a, [b, c])
    const before = footprints(peers)
    const refused = await refusedFrames(peers)
    const tally = await asked([a, b, c], ms, () => writeFileSync(join(b.home, 'flip'), String(oneIn)))
    const flips = Number(flipped(b))
    const counted = (await refusedFrames(peers)) - refused
    report.inject(`a peer turned a bit over in one of ${oneIn} writes, above the encryption: ${flips} times`)
    report.hold('bits were turned over', flips > 0)
    wholeAnswers(report, tally)
    report.measure(
      `${counted} frames refused, ${tally.reroutes} routes changed, ${tally.failovers} stages replaced, ${tally.replayed} rows fed again`,
    )
    report.hold('frames were refused, and counted', counted > 0)
    report.hold('a route was changed for it', tally.reroutes > 0)
    await settled(report, peers, before)
  } finally {
    await field.stop()
  }
}

/** Whoever was left for a damaged frame is placed again, so that more are damaged. */
async function asked(peers: readonly RealPeer[], ms: number, begin: () => void): Promise<Tally> {
  const [origin, ...others] = peers as [RealPeer, ...RealPeer[]]
  const random = seeded(7)
  const cases = await casesOf(origin, { model: MODEL, random, more: { speculate: 'off' } })
  const tally = newTally()
  begin()
  const end = clock.now() + ms
  const user = async (): Promise<void> => {
    while (clock.now() < end) {
      const { reroutes } = await askOne(origin, cases[Math.floor(random() * cases.length)]!, tally)
      if (reroutes.length > 0) await spread(origin, others)
    }
  }
  await Promise.all(Array.from({ length: USERS }, user))
  return tally
}

async function refusedFrames(peers: readonly RealPeer[]): Promise<number> {
  const counts = await Promise.all(peers.map((peer) => counter(peer, 'frames_refused')))
  return counts.reduce((sum, count) => sum + count, 0)
}

function flipped({ home }: RealPeer): string {
  try {
    return readFileSync(join(home, 'flipped'), 'utf8')
  } catch {
    return '0'
  }
}
