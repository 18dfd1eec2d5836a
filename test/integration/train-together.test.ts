/**
 * Several people train adapters on the same served blocks at once, each from a peer of its own, while somebody is answered from
 * these blocks: each adapter has the bits that it has alone, and one that is gone takes nothing from the others.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ModelManifest } from '../../src/models/index.ts'
import { weft } from '../cli/support.ts'
import type { Outcome } from '../cli/support.ts'
import { isLong, isWhole } from '../whole.ts'
import { metricsOf, valueOf } from './scraped.ts'
import { answer, counter, createLab, greedy, joined, placement, TINY, until } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

/** Each is another kind of run: targets, ranks, lengths, micro-batches and gradients differ. */
const RUNS = [
  {
    text: 'THE SEA WAS CALM, AND THE OLD MAN SAID NOTHING ABOUT IT. ',
    plan: { adapter: { kind: 'lora', rank: 4, targets: ['q', 'v', 'o', 'down'] }, batch: 2, accumulate: 4 },
    length: 16,
    file: 'adapter_model.safetensors',
  },
  {
    text: 'A WHITE WHALE! SHE BLOWS, SHE BLOWS! THERE, THERE SHE BLOWS! ',
    plan: {
      adapter: { kind: 'lora', rank: 2, targets: ['k', 'gate', 'up'] },
      gradients: 'int8',
      batch: 1,
      accumulate: 6,
    },
    length: 24,
    file: 'adapter_model.safetensors',
  },
  {
    text: 'COUNT ME THE STARS, THEN, IF THERE ARE SO MANY OF THEM. ',
    plan: { adapter: { kind: 'prompt', tokens: 5 }, batch: 3, accumulate: 3 },
    length: 12,
    file: 'adapter_model.safetensors',
  },
] as const
const EPOCHS = 4
/** More than any micro-batch has, soft prompts included. */
const MOST_ROWS = 3 * (12 + 5)
/** In a route of two stages: one for each, the head's, and one between. */
const MOST_UNDER_WAY = 4

let lab: Lab
/** They have the layers. */
let stages: readonly [RealPeer, RealPeer]
/** They have texts and adapters, and each its own model file of the same bytes. */
let users: readonly RealPeer[]
let manifest: ModelManifest

const at = (name: string): string => join(lab.home('.'), name)

async function writeRun(user: number): Promise<void> {
  const { text, plan, length } = RUNS[user]!
  await writeFile(at(`texts-${user}.jsonl`), `${JSON.stringify({ text: text.repeat(20) })}\n`)
  const whole = {
    schema: 'weft.train-plan/1',
    seed: 3 + user,
    task: 'language',
    data: { kind: 'text', path: `texts-${user}.jsonl`, length },
    model: { kind: 'base', name: 'tiny' },
    optimizer: { kind: 'adamw', lr: 0.01, clip_norm: 1 },
    epochs: EPOCHS,
    ...plan,
  }
  await writeFile(at(`plan-${user}.json`), JSON.stringify(whole))
}

const train = (user: number, out: string, ...args: readonly string[]): Promise<Outcome> => {
  const own = ['--home', users[user]!.home, '--threads', '1', '--quiet']
  return weft(['train', at(`plan-${user}.json`), '--out', at(out), ...own, ...args])
}
const over = (user: number, out: string): Promise<Outcome> => train(user, out, '--placement', at('placed.json'))
const trained = (user: number, out: string): Promise<Buffer> => readFile(join(at(out), RUNS[user]!.file))

const open = async (peer: RealPeer): Promise<number> =>
  valueOf(await metricsOf(peer), 'weft_training_sessions_open') ?? 0
const held = async (peer: RealPeer): Promise<number> =>
  valueOf(await metricsOf(peer), 'weft_training_session_bytes') ?? 0

/** Starts them, and comes back when the stages have all of their sessions open at once. */
async function begun(runs: readonly (() => Promise<Outcome>)[]): Promise<readonly Promise<Outcome>[]> {
  const running = runs.map((run) => run())
  const ended = Promise.race(running).then((outcome) => {
    throw new Error(`one ended before the others had begun: ${outcome.stderr}`)
  })
  ended.catch(() => undefined)
  for (const stage of stages)
    await Promise.race([ended, until('all are open', async () => (await open(stage)) === runs.length, 120_000)])
  return running
}

beforeAll(async () => {
  lab = await createLab()
  const [b, c, ...others] = await Promise.all([
    lab.start('b'),
    lab.start('c'),
    ...RUNS.map((_, user) => lab.start(`user-${user}`)),
  ])
  stages = [b, c]
  users = others
  await joined([...stages, ...users], 120_000)
  for (const user of users) await user.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
  manifest = (await users[0]!.access.manifest('tiny')) as ModelManifest
  const placed = placement('tiny', [
    [b, 0, 4],
    [c, 4, 8],
  ])
  await writeFile(at('placed.json'), JSON.stringify(placed))
  await users[2]!.access.deploy('tiny', placed, () => undefined)
  await Promise.all(RUNS.map((_, user) => writeRun(user)))
  const alone = await Promise.all(RUNS.map((_, user) => train(user, `alone-${user}`, '--placement', 'local')))
  for (const outcome of alone) expect(outcome).toMatchObject({ status: 0 })
}, 400_000)

afterAll(() => lab.stop())

describe.runIf(isLong)('users of the same served blocks', () => {
  it.runIf(isWhole)(
    'two train at once, each what it trains alone',
    async () => {
      const running = await begun([() => over(0, 'two-0'), () => over(1, 'two-1')])
      for (const run of running) expect(await run).toMatchObject({ status: 0 })
      for (const user of [0, 1])
        expect(await trained(user, `two-${user}`)).toEqual(await trained(user, `alone-${user}`))
      // One host has the weights for both.
      for (const stage of stages) expect(await counter(stage, 'training_hosts')).toBe(1)
    },
    300_000,
  )

  it('three do, beside answers from the same blocks; what stages hold of them stays small, and is given back', async () => {
    const request = greedy('tiny', 40)
    const before = await answer(users[0]!, request)
    expect(before.error).toBeUndefined()
    const running = await begun(RUNS.map((_, user) => () => over(user, `three-${user}`)))
    const state = { isOver: false }
    let [most, answers] = [0, 0]
    const all = Promise.all(running).finally(() => (state.isOver = true))
    do {
      const said = await answer(users[answers % 3]!, request)
      expect([said.error, said.ids]).toEqual([undefined, before.ids])
      answers++
      for (const stage of stages) most = Math.max(most, await held(stage))
    } while (!state.isOver)
    for (const run of await all) expect(run).toMatchObject({ status: 0 })
    for (const user of RUNS.keys()) {
      expect(await trained(user, `three-${user}`)).toEqual(await trained(user, `alone-${user}`))
    }
    const { width, layers } = manifest.shape
    const rows = RUNS.length * MOST_UNDER_WAY * MOST_ROWS * width * layers * 4
    const adapters = 2 * 4 * 100_000
    expect(most).toBeGreaterThan(0)
    expect(most).toBeLessThan(rows + adapters)
    for (const stage of stages) {
      await until('all is given back', async () => (await open(stage)) === 0)
      expect(await held(stage)).toBe(0)
      expect(await counter(stage, 'training_hosts')).toBe(1)
    }
  }, 400_000)

  it.runIf(isWhole)(
    'one whose command is killed, and one whose peer is, leave the third its bits and the stages their memory',
    async () => {
      const replayed = await counter(users[0]!, 'steps_replayed')
      let command = 0
      const runs = RUNS.map((_, user) => () => over(user, `left-${user}`))
      runs[1] = () =>
        weft(
          [
            'train',
            at('plan-1.json'),
            '--out',
            at('left-1'),
            '--home',
            users[1]!.home,
            '--placement',
            at('placed.json'),
          ],
          {
            started: ({ pid }) => (command = pid!),
          },
        )
      const running = await begun(runs)
      process.kill(command, 'SIGKILL')
      for (const stage of stages) await until('its session is freed', async () => (await open(stage)) < 3)
      users[2]!.child.kill('SIGKILL')
      for (const stage of stages) await until('its session is freed', async () => (await open(stage)) < 2)
      expect(await running[1]).toMatchObject({ signal: 'SIGKILL' })
      expect((await running[2])!.status).not.toBe(0)
      expect(await running[0]).toMatchObject({ status: 0 })
      expect(await trained(0, 'left-0')).toEqual(await trained(0, 'alone-0'))
      expect(await counter(users[0]!, 'steps_replayed')).toBe(replayed)
      for (const stage of stages) {
        await until('all is given back', async () => (await open(stage)) === 0)
        expect(await held(stage)).toBe(0)
      }
    },
    300_000,
  )
})
