/** The origin is killed while its clients read, alone or with a stage, and started again: with its journal each gets the rest. */
import { endProcess, joined } from '../../test/integration/support.ts'
import { textOf } from '../../test/api/resume-support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import { systemClock } from '../../src/util/index.ts'
import { readThrough } from '../support/resuming-client.ts'
import type { Streamed } from '../support/resuming-client.ts'
import { seeded } from '../support/random.ts'
import { createField, MODEL, seconds, settled, spread } from './field.ts'
import type { Field } from './field.ts'
import type { Promised } from './report.ts'

const clock = systemClock()
const NAMES = ['b', 'c', 'd', 'e'] as const
const ROUNDS = 12
const FEW = 3
const ARGS = ['--journal'] as const
const PROMPTS = ['The whale', 'Once upon a time there was', 'In the beginning'] as const

/** Who is killed, and how much later than the origin: a stage before it is being replaced. */
const WAYS = [
  { name: 'the origin', stage: undefined },
  { name: 'the origin and a stage at once', stage: 0 },
  { name: 'a stage, and the origin while it is replaced', stage: -60 },
] as const

export const origin: Promised = {
  id: 'ORIGIN',
  title: 'an origin killed while it answers, with its journal',
  async run(report, isShort) {
    const field = await createField(NAMES.length + 1, ['--rtt', '4'])
    try {
      let a = await field.start('a', 1, ARGS)
      const peers = new Map<string, RealPeer>()
      for (const [index, name] of NAMES.entries()) peers.set(name, await field.start(name, index + 2))
      const random = seeded(99)
      const place = async (): Promise<void> => {
        const [b, c, d, e] = NAMES.map((name) => peers.get(name)!) as [RealPeer, RealPeer, RealPeer, RealPeer]
        await spread(a, [b, c], [d, e])
      }
      await place()
      const bodies = PROMPTS.map((prompt, index) => ({
        model: MODEL,
        prompt,
        max_tokens: 160,
        temperature: index === 2 ? 1 : 0,
        ...(index === 2 ? { seed: 7 } : {}),
        stream: true,
      }))
      const whole = await Promise.all(bodies.map(async (body) => textOf((await readThrough(a.home, body)).events)))
      const rounds = isShort ? FEW : ROUNDS
      let resumed = 0
      const delays: number[] = []
      for (let round = 0; round < rounds; round++) {
        const way = WAYS[round % WAYS.length]!
        const at = 5 + Math.floor(random() * 60)
        let fault: Promise<RealPeer> | undefined
        const strike = (count: number): void => {
          if (count < at || fault !== undefined) return
          fault = killed(field, a, peers, way.stage)
        }
        const began = clock.now()
        const answers = await Promise.all(
          bodies.map((body, index) => readThrough(a.home, body, index === 0 ? strike : undefined)),
        )
        delays.push(clock.now() - began)
        if (fault === undefined) throw new Error('the answer ended before the fault')
        a = await fault
        report.hold(
          `each text is the one without it, after ${way.name} at event ${at}`,
          answers.every(({ events }, index) => textOf(events) === whole[index]),
        )
        report.hold('each event came once, in order', answers.every(isWhole))
        resumed += answers.reduce((sum, each) => sum + each.resumed, 0)
        await joined([a, ...peers.values()])
        await place()
      }
      report.inject(`${rounds} times, ${WAYS.map(({ name }) => name).join('; ')}`)
      report.measure(
        `${rounds * bodies.length} streams, each connection that ended resumed (${resumed}); the longest answer ${seconds(Math.max(...delays))} s`,
      )
      report.hold('clients came back for the rest', resumed > 0)
      await settled(report, [a, ...peers.values()], new Map())
    } finally {
      await field.stop()
    }
  },
}

/** @returns the origin that is there in its place. @param stage milliseconds; below zero: it is killed before the origin */
async function killed(
  field: Field,
  a: RealPeer,
  peers: Map<string, RealPeer>,
  stage: number | undefined,
): Promise<RealPeer> {
  const [name] = NAMES
  const victim = stage === undefined ? undefined : peers.get(name)!
  victim?.child.kill('SIGKILL')
  if (stage !== undefined) await clock.sleep(-stage)
  a.child.kill('SIGKILL')
  await endProcess(a.child)
  const again = await field.start('a', 1, ARGS)
  if (victim !== undefined) {
    await endProcess(victim.child)
    peers.set(name, await field.start(name, 2))
  }
  return again
}

function isWhole({ events, request }: Streamed): boolean {
  return events.every(({ id }, index) => id === `${request}:${index + 1}`)
}
