/** What the simulation itself stands on: the order of its time, and a model of which no wrong number goes unseen. */
import { describe, expect, it } from 'vitest'
import { Chance } from './random.ts'
import { SimulatedProcess } from './process.ts'
import type { Hub } from './net/hub.ts'
import { Link } from './net/link.ts'
import type { SimulatedNetwork } from './net/network.ts'
import type { Pipe } from './net/pipe.ts'
import { Skies } from './net/weather.ts'
import { Scheduler } from './scheduler.ts'
import { gather, Reference, spread } from './toy/mix.ts'

describe('a peer whose power fails', () => {
  it('is missed within 35 s, however often other ways change meanwhile, and is known to be slow long before', async () => {
    const scheduler = new Scheduler()
    const skies = new Skies(new Chance('seed 1'), () => near.look())
    const hub = { scheduler, skies, has: () => false, linkEnded: () => undefined } as unknown as Hub
    const left: string[] = []
    const node = (id: string, process: SimulatedProcess, isSilent: boolean): SimulatedNetwork =>
      ({
        id,
        process,
        isSilent,
        isWatching: () => false,
        countBeat: () => undefined,
        left: (_link: Link, why: string) => left.push(`${why} ${scheduler.now < 35_000}`),
      }) as unknown as SimulatedNetwork
    const [process, dead] = [new SimulatedProcess(scheduler), new SimulatedProcess(scheduler)]
    const near = new Link(hub, node('near', process, false), 'dead', 'outbound')
    near.out = { close: () => undefined } as unknown as Pipe
    near.other = new Link(hub, node('dead', dead, true), 'near', 'inbound')
    near.look()
    await scheduler.run(100)
    expect(near.silent).toBe(0)
    dead.kill()
    near.look()
    await scheduler.run(8_000)
    expect(near.silent).toBeGreaterThan(1_450)
    for (let change = 0; change < 27; change++) {
      skies.storm('somebody else', { latency: change })()
      await scheduler.run(1_000)
    }
    expect(left).toEqual(['frozen true'])
  })
})

describe('virtual time', () => {
  it('runs what is due in order, promises in between, and never what was cancelled', async () => {
    const scheduler = new Scheduler()
    const seen: string[] = []
    const say = (what: string) => (): void => void seen.push(`${scheduler.now} ${what}`)
    scheduler.after(20, say('late'))
    scheduler.after(10, () => {
      say('first')()
      void Promise.resolve().then(say('promise')).then(say('and what follows it'))
    })
    scheduler.after(10, say('second'))
    scheduler.after(15, say('cancelled'))()
    await scheduler.run(10)
    expect(seen).toEqual(['10 first', '10 promise', '10 and what follows it', '10 second'])
    await scheduler.run(100)
    expect(seen.at(-1)).toBe('20 late')
    expect([scheduler.now, scheduler.waiting]).toEqual([110, 0])
  })

  it('stands still for a frozen process, and ends with a dead one', async () => {
    const scheduler = new Scheduler()
    const frozen = new SimulatedProcess(scheduler)
    const dead = new SimulatedProcess(scheduler)
    const seen: string[] = []
    frozen.after(5, () => seen.push('frozen'))
    frozen.after(6, () => seen.push('frozen, later'))
    dead.after(5, () => seen.push('dead'))
    frozen.freeze()
    dead.kill()
    await scheduler.run(1_000)
    expect(seen).toEqual([])
    frozen.thaw()
    await scheduler.run(0)
    expect(seen).toEqual(['frozen', 'frozen, later'])
  })

  it('draws the same from the same seed, and nothing of one purpose from another', () => {
    const draws = (chance: Chance): number[] => Array.from({ length: 4 }, () => chance.next())
    const [one, other] = [new Chance('seed 1'), new Chance('seed 1')]
    other.of('something else').next()
    expect(draws(one.of('faults'))).toEqual(draws(other.of('faults')))
    expect(draws(one)).not.toEqual(draws(new Chance('seed 2')))
  })
})

describe('the toy model', () => {
  it('shows every bit of a row that is wrong', () => {
    const row = [0x12345678, 0x9abcdef0] as const
    const bytes = spread(row, 128)
    expect(gather(bytes)).toEqual(row)
    const unseen = Array.from({ length: 8 * bytes.length }, (_, bit) => bit).filter((bit) => {
      const wrong = bytes.slice()
      wrong[bit >> 3]! ^= 1 << (bit & 7)
      return gather(wrong).join() === row.join()
    })
    expect(unseen).toEqual([])
  })

  it('gives another text after another token, in another order, and with other layers', () => {
    const answer = (prompt: readonly number[], layers = 4): string =>
      new Reference(layers, 259).answer(prompt, 12).join()
    expect(answer([5, 6, 7])).toBe(answer([5, 6, 7]))
    const others = [answer([5, 7, 6]), answer([6, 7]), answer([5, 6, 7, 7]), answer([5, 6, 7], 5)]
    expect(new Set([answer([5, 6, 7]), ...others]).size).toBe(5)
  })
})
