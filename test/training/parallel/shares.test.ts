/** Steps that several compute: the bits of one process, however many they are, also when the run is killed and goes on. */
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Tensor } from '../../../src/onnx/index.ts'
import { unrounded } from '../../../src/training/adapters/rounding.ts'
import { GradientSession } from '../../../src/training/parallel/gradient-session.ts'
import { sharesOf } from '../../../src/training/parallel/line.ts'
import type { GradientJob, OpenGradients, StepGradients } from '../../../src/training/parallel/line.ts'
import { elementsOf, gradientGraphOf, gradientTaskText, readGradientTask } from '../../../src/training/parallel/task.ts'
import { trainPlan } from '../../../src/training/index.ts'
import { systemClock } from '../../../src/util/index.ts'
import { engine, temporaryFolder, writeClouds } from '../loop/support.ts'
import type { Folder } from '../loop/support.ts'

/** So many sessions in this process, each with a graph of its own that was made of the text that would cross. */
function among(count: number, folder: string): OpenGradients {
  return {
    count,
    async open({ task, parameters, threads, gradients }: GradientJob) {
      const graph = gradientGraphOf(readGradientTask(gradientTaskText(task).bytes), elementsOf(parameters))
      const needs = { engine, folder, options: { threads, optimization: 'basic' as const } }
      const all: GradientSession[] = []
      for (let at = 0; at < count; at++) all.push(await GradientSession.open(needs, graph, gradients))
      return {
        async step({ parameters: values, shares, whole }): Promise<StepGradients> {
          for (const session of all) session.begin(new Map(Object.entries(values)))
          const losses: number[][] = []
          const parts: Record<string, Tensor>[] = []
          for (const [share, batches] of shares.entries()) {
            const session = all[share % count]!
            const own: number[] = []
            for (const { feeds, weight } of batches) own.push(await session.add(new Map(Object.entries(feeds)), weight))
            losses.push(own)
            const told = new Map(Object.entries(session.tell(whole)))
            parts.push(Object.fromEntries(parameters.map(({ name, dims }) => [name, unrounded(told, name, dims)!])))
          }
          return { losses, parts }
        },
        close: async () => void (await Promise.all(all.map((session) => session.close()))),
      }
    },
  }
}

interface How {
  /** Without it, one process. */
  readonly peers?: number
  readonly resume?: boolean
  readonly until?: number
}

async function trained(
  folder: Folder,
  plan: string,
  out: string,
  { peers, resume = false, until }: How = {},
): Promise<void> {
  const gradients = peers === undefined ? undefined : among(peers, folder.path)
  const end = new AbortController()
  const request = { plan, out: folder.at(out), resume, threads: 1 }
  await trainPlan(
    { clock: systemClock(), engine, gradients },
    request,
    ({ done }) => {
      if (done === until) end.abort(new Error('enough'))
    },
    end.signal,
  ).catch((error: Error) => {
    if (error.message !== 'enough') throw error
  })
}

/** All that a run leaves: weights, state of the optimizer, losses. */
async function bits(folder: Folder, out: string): Promise<ReadonlyMap<string, string>> {
  const names = (await readdir(folder.at(out))).filter((name) => /^(?:checkpoint|model|curve\.json|result)/.test(name))
  expect(names.length).toBeGreaterThanOrEqual(4)
  return new Map(
    await Promise.all(
      names.map(async (name) => [name, (await readFile(join(folder.at(out), name))).toString('base64')] as const),
    ),
  )
}

const PLAN = { accumulate: 5, batch: 7, epochs: 3, checkpoint: { every_steps: 2 } }

describe('bits', () => {
  it('of one process, of one, two, three and five that share the steps, and of another number after a break', async () => {
    await using folder = await temporaryFolder()
    const plan = await writeClouds(folder, PLAN)
    await trained(folder, plan, 'one')
    const one = await bits(folder, 'one')
    for (const peers of [1, 2, 3, 5]) {
      await trained(folder, plan, `by-${peers}`, { peers })
      expect(await bits(folder, `by-${peers}`), `${peers} peers`).toEqual(one)
    }
    await trained(folder, plan, 'broken', { peers: 3, until: 3 })
    await expect(readFile(join(folder.at('broken'), 'model.onnx'))).rejects.toThrow('ENOENT')
    await trained(folder, plan, 'broken', { peers: 2, resume: true })
    expect(await bits(folder, 'broken')).toEqual(one)
  })

  it('of shares of several batches: others than of single ones, and the same whoever computes them', async () => {
    await using folder = await temporaryFolder()
    const single = await writeClouds(folder, PLAN)
    await trained(folder, single, 'single')
    const plan = await writeClouds(folder, { ...PLAN, shares: 2 })
    await trained(folder, plan, 'one')
    const one = await bits(folder, 'one')
    expect(one.get('model.onnx')).not.toBe((await bits(folder, 'single')).get('model.onnx'))
    for (const peers of [1, 2]) {
      await trained(folder, plan, `by-${peers}`, { peers })
      expect(await bits(folder, `by-${peers}`)).toEqual(one)
    }
  })

  it('of rounded gradients: those of one peer in one process, others of two, and the same again after a break', async () => {
    await using folder = await temporaryFolder()
    await trained(folder, await writeClouds(folder, PLAN), 'exact')
    const plan = await writeClouds(folder, { ...PLAN, gradients: 'int8' })
    for (const [out, peers] of [
      ['one', undefined],
      ['by-1', 1],
      ['by-2', 2],
      ['again', 2],
    ] as const)
      await trained(folder, plan, out, peers === undefined ? {} : { peers })
    const [one, two] = [await bits(folder, 'one'), await bits(folder, 'by-2')]
    expect(await bits(folder, 'by-1')).toEqual(one)
    expect(await bits(folder, 'again')).toEqual(two)
    const models = [one, two, await bits(folder, 'exact')].map((each) => each.get('model.onnx'))
    expect(new Set(models).size).toBe(3)
    await rm(folder.at('again'), { recursive: true })
    await trained(folder, plan, 'again', { peers: 2, until: 5 })
    await trained(folder, plan, 'again', { peers: 2, resume: true })
    expect(await bits(folder, 'again')).toEqual(two)
  })
})

describe('a plan that cannot be shared', () => {
  it.each<[string, object, number | undefined, string, RegExp]>([
    ['has fewer batches than peers', { accumulate: 2 }, 3, 'WEFT-INF-121', /"accumulate": 3 peers share a step/],
    ['has fewer shares than peers', { accumulate: 6, shares: 2 }, 3, 'WEFT-INF-121', /"shares": 3 peers share a step/],
    [
      'takes all examples at once',
      { accumulate: 3, batch: 'full' },
      2,
      'WEFT-INF-121',
      /"batch": 2 peers cannot share/,
    ],
    ['has more shares than batches', { accumulate: 2, shares: 3 }, undefined, 'WEFT-INF-121', /"shares": a step has 2/],
    [
      'is of a model file',
      { accumulate: 2, model: { kind: 'onnx', path: 'run/model.onnx' } },
      2,
      'WEFT-INF-130',
      /no peer can compute/,
    ],
  ])('%s: is refused in words', async (_, changes, peers, code, message) => {
    await using folder = await temporaryFolder()
    await trained(folder, await writeClouds(folder, { epochs: 1 }), 'run')
    const plan = await writeClouds(folder, { ...PLAN, ...changes })
    await expect(trained(folder, plan, 'shared', peers === undefined ? {} : { peers })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    })
  })
})

it('which share a batch is of follows from its number alone', () => {
  expect(sharesOf(5, 2)).toEqual([
    [0, 2, 4],
    [1, 3],
  ])
  expect(sharesOf(2, 5)).toEqual([[0], [1]])
  expect(sharesOf(0, 3)).toEqual([])
})
