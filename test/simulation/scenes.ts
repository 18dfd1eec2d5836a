/**
 * Small scenes, each of which the product once got wrong: what a run out of a seed showed, made so that it happens every
 * time. Run as `node --import ./test/simulation/hooks.ts test/simulation/scenes.ts`; prints what became of each as JSON.
 */
import { WeftError } from '../../src/errors.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import type { PlacementStage } from '../../src/pipeline/index.ts'
import { setDiskClock, wipe } from './disk/memory-disk.ts'
import { guard } from './guards.ts'
import { RunLog } from './log.ts'
import { Hub } from './net/hub.ts'
import { SimulatedPeer } from './peer.ts'
import { Chance } from './random.ts'
import { Scheduler, START } from './scheduler.ts'
import { makeModel, MODEL, VOCABULARY } from './toy/model.ts'
import { Reference } from './toy/mix.ts'

const LAYERS = 4
const PROMPT = [1, 20, 33, 40]
const COUNT = 12
/** Room for half of the model. */
const HALF = 1_450_000

/** Room for embedding and head alone. */
const ENDS = 700_000

interface Scene {
  readonly scheduler: Scheduler
  readonly hub: Hub
  readonly peers: readonly SimulatedPeer[]
  /** Virtual milliseconds at which the tokens of a text came, which is the right one. @param onToken how many came */
  readonly times: (by: SimulatedPeer, count: number, onToken: (count: number) => void) => Promise<number[]>
  /** Milliseconds that a text took, and `exact` or the code of what it ended with. */
  readonly ask: (by: SimulatedPeer, deadline: number) => Promise<{ readonly ms: number; readonly outcome: string }>
}

type Ended = Readonly<Record<string, unknown>>

/** @param memory of the first, which is asked. @default as the others */
async function scene(count: number, play: (scene: Scene) => Promise<Ended>, memory = HALF): Promise<Ended> {
  wipe('/sim')
  const scheduler = new Scheduler()
  setDiskClock(() => START + scheduler.now)
  guard(scheduler)
  const chance = new Chance('scene')
  const hub = new Hub(scheduler, chance.of('network'))
  await makeModel(chance.of('model'), LAYERS)
  let pid = 1_000
  const peers: SimulatedPeer[] = []
  const log = new RunLog(scheduler)
  const world = { scheduler, hub, log, nextPid: () => pid++, bootstrap: () => [peers[0]!.address] }
  for (let index = 0; index < count; index++) {
    const device = { speed: { layerMs: 2, headMs: 1 }, memory: index === 0 ? memory : HALF, skew: 0 }
    const access = { latency: 1, jitter: 0, rate: 10_000, loss: 0 }
    peers.push(
      new SimulatedPeer(world, { index, device, access, lan: undefined, hasModel: true }, chance.of(`peer ${index}`)),
    )
  }
  for (const peer of peers) void peer.start()
  await scheduler.run(5_000)
  const expected = new Reference(LAYERS, VOCABULARY).answer(PROMPT, COUNT).join()
  const ask: Scene['ask'] = async (by, deadline) => {
    const since = scheduler.now
    const input = { kind: 'ids', ids: PROMPT } as const
    const request = { model: MODEL, input, sampling: GREEDY, maxTokens: COUNT, ignoreEnd: true, deadline }
    let outcome = 'no end'
    try {
      for await (const event of by.peer!.generate(request))
        if (event.type === 'end') outcome = event.ids.join() === expected ? 'exact' : 'wrong'
    } catch (error) {
      outcome = error instanceof WeftError ? error.info.code : String(error)
    }
    return { ms: Math.round(scheduler.now - since), outcome }
  }
  const times: Scene['times'] = async (by, count, onToken) => {
    const input = { kind: 'ids', ids: PROMPT } as const
    const request = { model: MODEL, input, sampling: GREEDY, maxTokens: count, ignoreEnd: true, deadline: 60_000 }
    const [at, text]: [number[], number[]] = [[], []]
    for await (const event of by.peer!.generate({ ...request, speculate: 'off' })) {
      if (event.type !== 'token') continue
      text.push(event.id)
      onToken(at.push(scheduler.now))
    }
    const exact = new Reference(LAYERS, VOCABULARY).answer(PROMPT, count).join()
    if (text.join() !== exact) throw new Error('another text came')
    return at
  }
  const ended = await play({ scheduler, hub, peers, ask, times })
  for (const peer of peers) if (!peer.process.isDead) peer.kill(true)
  await scheduler.run(0)
  return ended
}

/** What of it has come by then. */
async function within<Result>(scheduler: Scheduler, milliseconds: number, promise: Promise<Result>): Promise<unknown> {
  let came: Result | undefined
  void promise.then((result) => (came = result))
  await scheduler.run(milliseconds, () => came !== undefined)
  return came ?? 'nothing'
}

/** A stage of the placement is frozen while it should load: the deadline holds then too. */
const deadline = scene(3, async ({ scheduler, peers, ask }) => {
  for (const peer of peers.slice(1)) peer.freeze()
  return { text: await within(scheduler, 60_000, ask(peers[0]!, 4_000)) }
})

/** All place the same model in the same moment: one placement stands, and nobody waits for another. */
const together = deadline.then(() =>
  scene(4, async ({ scheduler, peers, ask }) => {
    const all = Promise.all(peers.map((peer) => ask(peer, 30_000)))
    return { texts: await within(scheduler, 60_000, all) }
  }),
)

/** Who is to take the blocks of a peer that has gone goes in its turn, before it has loaded them: a text that begins is not for ever its. */
const successor = together.then(() =>
  scene(
    6,
    async ({ scheduler, peers, ask }) => {
      const origin = peers[0]!
      const first = await within(scheduler, 60_000, ask(origin, 30_000))
      const holder = (): SimulatedPeer | undefined => {
        const stages = origin.peer!.status().placements?.[0]?.stages ?? []
        return peers.find(({ id, isUp }) => isUp && id !== origin.id && stages.some(({ peer }) => peer === id))
      }
      holder()!.kill(false)
      await scheduler.run(2_000)
      const asked = ask(origin, 30_000)
      await scheduler.run(5_000, () => holder() !== undefined)
      const next = holder()
      next?.kill(false)
      return { first, killed: next !== undefined, text: await within(scheduler, 60_000, asked) }
    },
    ENDS,
  ),
)

/** Two stages with second holders leave in mid-answer: what the steps to those take, where nobody waits for a processor. */
const leaving = successor.then(() =>
  scene(5, async ({ scheduler, peers, times }) => {
    const [origin, first, second, third, fourth] = peers as [
      SimulatedPeer,
      SimulatedPeer,
      SimulatedPeer,
      SimulatedPeer,
      SimulatedPeer,
    ]
    const stage = ({ id }: SimulatedPeer, from: number, to: number): PlacementStage => ({ peer: id, from, to })
    const stages = [stage(origin, 0, 1), stage(first, 1, 3), stage(second, 3, 5), stage(origin, 5, 6)]
    const replicas = [stage(third, 1, 3), stage(fourth, 3, 5)]
    await within(scheduler, 60_000, origin.peer!.deploy(MODEL, { model: MODEL, stages, replicas }))
    const text = times(origin, 60, (count) => {
      if (count === 20) void second.leave()
      if (count === 40) void first.leave()
    })
    const at = (await within(scheduler, 60_000, text)) as readonly number[]
    const gaps = at.slice(1).map((time, index) => time - at[index]!)
    const [usual, longest] = [gaps.toSorted((one, other) => one - other)[30]!, Math.max(...gaps)]
    const { hand_overs: handOvers = 0, replayed_rows: fedAgain = 0 } = origin.peer!.status().counters
    return { tokens: at.length, handOvers, fedAgain, usual, longest }
  }),
)

const ended = {
  deadline: await deadline,
  together: await together,
  successor: await successor,
  leaving: await leaving,
}
process.stdout.write(`${JSON.stringify(ended)}\n`)
process.exit(0)
