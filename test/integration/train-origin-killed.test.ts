/**
 * The peer that trains an adapter over others is killed with SIGKILL, started again, and goes on with `--resume`: before there was a
 * checkpoint, after one, while one was being written, and twice in a row. Each time the adapter has the bits of a run that was left alone.
 */
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { json, weft } from '../cli/support.ts'
import type { Outcome } from '../cli/support.ts'
import { isLong, isWhole } from '../whole.ts'
import { createLab, joined, placement, TINY } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

const JOINING = ['--lan', 'off', '--listen', '/ip4/127.0.0.1/tcp/0']

let lab: Lab
let stages: readonly RealPeer[]
let origin: RealPeer

const at = (name: string): string => join(lab.home('.'), name)

/** Large enough that a checkpoint takes some time to write: of rank 32 beside all matrices, three times. */
const PLAN = {
  schema: 'weft.train-plan/1',
  seed: 5,
  task: 'language',
  data: { kind: 'text', path: 'texts.jsonl', length: 16 },
  split: { every: 5, test: 4, validation: 3 },
  model: { kind: 'base', name: 'tiny' },
  adapter: { kind: 'lora', rank: 32, targets: ['q', 'k', 'v', 'o', 'gate', 'up', 'down'] },
  optimizer: { kind: 'adamw', lr: 0.005, clip_norm: 1, schedule: { kind: 'cosine', warmup: 3 } },
  epochs: 3,
  batch: 2,
  accumulate: 4,
  checkpoint: { every_steps: 2 },
  early_stopping: { metric: 'loss', patience: 5 },
}

async function startOrigin(): Promise<void> {
  const addresses = stages.map(({ addresses: [first] }) => ['--bootstrap', first!]).flat()
  origin = await lab.start('origin', [...JOINING, ...addresses])
  await joined([...stages, origin], 120_000)
}

const train = (out: string, ...args: readonly string[]): Promise<Outcome> =>
  weft(['train', at('plan.json'), '--out', at(out), '--threads', '1', '--quiet', '--home', origin.home, ...args])
const over = (out: string, ...args: readonly string[]): Promise<Outcome> =>
  train(out, '--placement', at('placed.json'), '--json', ...args)

const namesIn = (out: string): Promise<string[]> => readdir(at(out)).catch(() => [])
const hasCheckpoint = async (out: string): Promise<boolean> =>
  (await namesIn(out)).some((name) => name.startsWith('checkpoint-'))
const isWriting = async (out: string): Promise<boolean> =>
  (await namesIn(out)).some((name) => /^\.weft-.*arrays.*\.tmp$/.test(name))
const backward = async (): Promise<number> => (await stages[0]!.access.status()).counters['backward_rows'] ?? 0

/** The origin is killed as soon as something is so; the command says that its peer is gone. */
async function killedWhen(running: Promise<Outcome>, holds: () => Promise<boolean>): Promise<void> {
  let isOver = false
  void running.then(() => (isOver = true))
  while (!(await holds())) {
    if (isOver) throw new Error(`the run ended before it was killed: ${(await running).stderr}`)
    await setTimeout(1)
  }
  const ended = once(origin.child, 'exit')
  origin.child.kill('SIGKILL')
  await ended
  expect((await running).status).not.toBe(0)
}

const files = ['adapter_model.safetensors', 'adapter_config.json', 'curve.json']
async function expectSame(out: string): Promise<void> {
  for (const file of files) {
    const [one, other] = await Promise.all([readFile(join(at(out), file)), readFile(join(at('whole'), file))])
    expect(one.equals(other), file).toBe(true)
  }
  expect((await namesIn(out)).filter((name) => name.endsWith('.tmp') || name === 'work')).toEqual([])
}

async function goesOn(out: string): Promise<Outcome> {
  const outcome = await over(out, '--resume')
  expect(outcome).toMatchObject({ status: 0 })
  await expectSame(out)
  return outcome
}

describe.runIf(isLong)('an origin that is killed', () => {
  beforeAll(async () => {
    lab = await createLab()
    const first = await lab.start('b', JOINING)
    stages = [first, await lab.start('c', [...JOINING, '--bootstrap', first.addresses[0]!])]
    await startOrigin()
    await origin.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
    await writeFile(at('plan.json'), JSON.stringify(PLAN))
    const text = 'THE SEA WAS CALM, AND THE OLD MAN SAID NOTHING ABOUT IT. '
    await writeFile(at('texts.jsonl'), `${JSON.stringify({ text: text.repeat(24) })}\n`)
    const [b, c] = stages as [RealPeer, RealPeer]
    await writeFile(
      at('placed.json'),
      JSON.stringify(
        placement('tiny', [
          [b, 0, 4],
          [c, 4, 8],
        ]),
      ),
    )
    expect(await train('whole', '--placement', 'local')).toMatchObject({ status: 0 })
  }, 300_000)
  afterAll(() => lab.stop())

  it.runIf(isWhole)(
    'in its first step, and it begins anew',
    async () => {
      const before = await backward()
      await killedWhen(over('first'), async () => (await backward()) > before)
      expect(await hasCheckpoint('first')).toBe(false)
      await startOrigin()
      await goesOn('first')
    },
    200_000,
  )

  it('behind a checkpoint, twice in a row', async () => {
    await killedWhen(over('twice'), () => hasCheckpoint('twice'))
    const [kept] = await namesIn('twice').then((names) => names.filter((name) => name.startsWith('checkpoint-')))
    await startOrigin()
    await killedWhen(over('twice', '--resume'), async () => {
      const names = await namesIn('twice')
      return names.some((name) => name.startsWith('checkpoint-') && name > kept!)
    })
    await startOrigin()
    const { stderr } = await goesOn('twice')
    expect(stderr).not.toContain('WEFT-')
  }, 300_000)

  it.runIf(isWhole)(
    'while it writes one: what was begun is gone, and the one before is taken',
    async () => {
      const running = over('writing')
      await killedWhen(running, async () => (await hasCheckpoint('writing')) && (await isWriting('writing')))
      // Whole or not at all: what was being written is either a checkpoint by now or a file that nobody reads.
      await startOrigin()
      const { stdout } = await goesOn('writing')
      expect(json(stdout)).toMatchObject({ schema: 'weft.train-result/1' })
    },
    200_000,
  )
})
