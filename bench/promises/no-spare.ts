/** R2: a stage is killed in mid-answer and nobody else can hold it; it comes back within a minute, or it does not. */
import { answer, codeOf, endProcess, joined, TINY, until } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import { systemClock } from '../../src/util/index.ts'
import { askOne, casesOf, newTally } from '../support/cases.ts'
import type { Case } from '../support/cases.ts'
import { seeded } from '../support/random.ts'
import { createField, footprints, MODEL, place, settled, wholeAnswers } from './field.ts'
import type { Field } from './field.ts'
import type { Promised, Report } from './report.ts'

const clock = systemClock()
const TOLD_MS = 5_000
const AWAY_MS = 20_000
const PATIENCE_MS = 60_000
const NAMES = ['b', 'c', 'd'] as const

export const noSpare: Promised = {
  id: 'R2',
  title: 'a stage killed in mid-answer, without a second holder',
  async run(report, isShort) {
    const field = await createField(NAMES.length + 1, ['--rtt', '4'])
    try {
      const a = await field.start('a', 1)
      const peers = await Promise.all(NAMES.map((name, index) => field.start(name, index + 2)))
      const reader = await field.start('reader', 1)
      await joined([a, ...peers, reader])
      await reader.access.importModel({ source: TINY, name: MODEL }, () => undefined)
      const cases = await casesOf(reader, {
        model: MODEL,
        random: seeded(2),
        count: 3,
        tokens: [100, 140],
        more: { speculate: 'off' },
      })
      await until('the model is known', async () =>
        (await a.access.status()).peers.some(({ models }) => models.includes(MODEL)),
      )
      // Each has what it was given and no more, the origin the tokenizer; then the one that had all of it goes.
      await place(a, peers)
      await askOne(a, cases[0]!, newTally())
      await endProcess(reader.child)
      await until('it has gone', async () =>
        (await a.access.status()).peers.every(({ id, state }) => id !== reader.id || state !== 'connected'),
      )
      const before = footprints([a])
      // Whoever takes over from one that comes back has its blocks then too.
      await staysAway(report, field, a, peers, cases.at(-1)!, isShort)
      await comesBack(report, field, a, peers, cases, isShort)
      await settled(report, [a, ...peers], before)
    } finally {
      await field.stop()
    }
  },
}

/** Without a deadline, as most requests are. */
function patient({ request, ids }: Case): Case {
  const { deadline: _, ...rest } = request
  return { request: rest, ids }
}

async function comesBack(
  report: Report,
  field: Field,
  a: RealPeer,
  peers: RealPeer[],
  cases: readonly Case[],
  isShort: boolean,
): Promise<void> {
  const [tally, told] = [newTally(), [] as number[]]
  const away = isShort ? 6_000 : AWAY_MS
  for (const [place, each] of cases.slice(0, isShort ? 1 : undefined).entries()) {
    let back: Promise<RealPeer> | undefined
    let killedAt = 0
    const onToken = (count: number): void => {
      if (count !== 20) return
      killedAt = clock.now()
      peers[place]!.child.kill('SIGKILL')
      back = clock.sleep(away).then(() => field.start(NAMES[place]!, place + 2))
    }
    const got = await askOne(a, patient(each), tally, onToken, (event) => {
      if (event.type === 'waiting') told.push(clock.now() - killedAt)
    })
    if (back === undefined) throw got.error ?? new Error('the answer ended before the fault')
    report.hold('it was told of the wait, by the code', got.waited)
    peers[place] = await back
    await joined([a, ...peers])
  }
  report.inject(`a stage killed in mid-answer and away for ${away / 1000} s, ${tally.exact + tally.different} times`)
  wholeAnswers(report, tally)
  report.measure(`${tally.failovers} stages replaced, ${tally.replayed} rows fed again`)
  report.hold('the way of a failover was taken', tally.failovers > 0)
  report.atMost(
    'until it is told (WEFT-INF-033)',
    Math.max(...told, told.length === 0 ? Infinity : 0) / 1000,
    TOLD_MS / 1000,
    's',
  )
}

async function staysAway(
  report: Report,
  field: Field,
  a: RealPeer,
  peers: RealPeer[],
  asked: Case,
  isShort: boolean,
): Promise<void> {
  let killedAt = 0
  // The short run has a deadline of its own, the other one is ended by what requests have without.
  const request = { ...patient(asked).request, ...(isShort ? { deadline: 15_000 } : {}) }
  const got = await answer(a, request, (count) => {
    if (count !== 20) return
    killedAt = clock.now()
    peers[0]!.child.kill('SIGKILL')
  })
  report.inject('a stage killed in mid-answer that did not come back')
  const ended = (clock.now() - killedAt) / 1000
  report.hold(`it ends with WEFT-INF-033: ${codeOf(got.error)}`, codeOf(got.error) === 'WEFT-INF-033')
  report.hold(
    'the tokens so far are those of one process',
    got.ids.length >= 20 && asked.ids.startsWith(got.ids.join()),
  )
  report.atMost(`until it ends, with ${got.ids.length} tokens`, ended, PATIENCE_MS / 1000 + 2, 's')
  await endProcess(peers[0]!.child)
  peers[0] = await field.start(NAMES[0], 2)
  await joined([a, ...peers])
}
