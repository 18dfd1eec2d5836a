/** A host whose address changes while it computes for an answer, and one that asks: a laptop that is carried elsewhere. */
import { execFileSync } from 'node:child_process'
import { joined } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import { systemClock } from '../../src/util/index.ts'
import { askOne, casesOf, newTally, percentile } from '../support/cases.ts'
import { seeded } from '../support/random.ts'
import { at, createField, footprints, MODEL, seconds, settled, spread, wholeAnswers } from './field.ts'
import type { Field } from './field.ts'
import type { Promised } from './report.ts'

const clock = systemClock()
const TIMES = 10
const FEW = 4
const PAUSE_MS = 1_000
/** Addresses that no host of the field has. */
const FREE = 100

export const roam: Promised = {
  id: 'ROAM',
  title: 'an address that changes in mid-answer',
  async run(report, isShort) {
    const field = await createField(3, ['--rtt', '10'])
    try {
      const [a, b, c] = await Promise.all([field.start('a', 1), field.start('b', 2), field.start('c', 3)])
      const peers = [a, b, c]
      await spread(a, [b, c])
      const more = { speculate: 'off' } as const
      const cases = await casesOf(a, { model: MODEL, random: seeded(24), count: 2, tokens: [120, 160], more })
      const [tally, pauses, undisturbed] = [newTally(), new Map<number, number[]>(), newTally()]
      for (const each of cases) await askOne(a, each, undisturbed)
      const before = footprints(peers)
      const own = new Map([1, 2].map((host) => [host, at(host)]))
      for (let time = 0; time < (isShort ? FEW : TIMES); time++) {
        // One that computes, and the one that asks.
        const host = 2 - (time % 2)
        const next = at(FREE + time)
        let movedAt = Infinity
        await askOne(a, cases[time % cases.length]!, tally, (count) => {
          if (count !== 20) return
          move(field, host, own.get(host)!, next)
          movedAt = clock.now()
        })
        own.set(host, next)
        report.hold('the answer was under way when the address changed', movedAt < Infinity)
        pauses.set(host, [...(pauses.get(host) ?? []), longestSince(tally.at, movedAt)])
        await joined(peers)
        report.hold('it is known by its new address alone', await isKnownBy(host === 1 ? b : a, peers[host - 1]!, next))
      }
      const all = [...pauses.values()].flat()
      report.inject(`the address of a host was replaced ${all.length} times at token 20 of an answer`)
      wholeAnswers(report, tally)
      report.measure(`a token takes ${percentile(undisturbed.pauses, 0.95).toFixed(0)} ms without (95th percentile)`)
      for (const [host, own] of pauses)
        report.measure(`pauses of host ${host === 1 ? 'that asks' : 'that computes'}: ${own.map(seconds).join(', ')} s`)
      report.atMost('the longest pause', Math.max(...all) / 1000, PAUSE_MS / 1000, 's')
      report.measure(`${tally.reroutes} routes made anew, ${tally.failovers} stages replaced`)
      report.hold('the way of a recovery was taken', tally.reroutes > 0)
      report.hold('nobody was replaced: all of them were there', tally.failovers === 0)
      await settled(report, peers, before)
    } finally {
      await field.stop()
    }
  },
}

function move(field: Field, host: number, from: string, to: string): void {
  const ip = (...args: string[]): void => {
    const [file = '', ...rest] = [...field.on(host), 'ip', ...args]
    execFileSync(file, rest, { stdio: 'pipe' })
  }
  // One that is added beside the first goes with it.
  ip('addr', 'del', `${from}/24`, 'dev', 'eth0')
  ip('addr', 'add', `${to}/24`, 'dev', 'eth0')
}

/** Milliseconds of the longest silence after a moment. @param at when tokens came */
function longestSince(at: readonly number[], moment: number): number {
  const after = at.filter((each) => each >= moment)
  return Math.max(...after.map((each, index) => each - (after[index - 1] ?? moment)))
}

async function isKnownBy(one: RealPeer, moved: RealPeer, address: string): Promise<boolean> {
  const { peers } = await one.access.status()
  const all = peers.find(({ id }) => id === moved.id)?.addresses ?? []
  return all.some((each) => each.includes(`/${address}/`))
}
