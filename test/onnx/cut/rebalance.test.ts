/** Cuts that follow what the parts took, where the costs that are inferred are far from that. */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { runCheck, splitOnnx } from '../../../src/onnx/index.ts'
import type { SplitPlan } from '../../../src/onnx/index.ts'
import { readModel, writeModel } from '../../../src/onnx/ir/index.ts'
import type { Model } from '../../../src/onnx/ir/index.ts'
import { floats, model, node, tensorType } from './support/build.ts'
import { engine } from './support/chain.ts'

const SIDE = 256
const POWERS = 12
const PRODUCTS = 4

let folder: string
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'weft-rebalance-'))))
afterAll(() => rm(folder, { recursive: true }))

/** Powers, which take the processor many times what their bytes say, and then products, which take less than theirs do. */
function lopsided(): Model {
  const type = tensorType('float32', [4 * SIDE, SIDE])
  const weight = floats(
    'w',
    [SIDE, SIDE],
    Array.from({ length: SIDE * SIDE }, (_, index) => Math.cos(index) / SIDE),
  )
  const powers = Array.from({ length: POWERS }, (_, index) => [
    node('Pow', [index === 0 ? 'x' : `p${index - 1}`, 'e'], [`q${index}`]),
    node('Abs', [`q${index}`], [`p${index}`]),
  ]).flat()
  const products = Array.from({ length: PRODUCTS }, (_, index) => [
    node('MatMul', [index === 0 ? `p${POWERS - 1}` : `t${index - 1}`, 'w'], [`m${index}`]),
    node('Tanh', [`m${index}`], [index === PRODUCTS - 1 ? 'y' : `t${index}`]),
  ]).flat()
  return model({
    nodes: [node('Abs', ['in'], ['x']), ...powers, ...products],
    inputs: { in: type },
    outputs: { y: type },
    initializers: [weight, floats('e', [], [1.1])],
  })
}

/** What a machine would take for which a power costs ten thousand times a product; real times depend on what else runs. */
async function secondsOf(path: string): Promise<number> {
  const { graph } = await readModel(path)
  const seconds: Readonly<Record<string, number>> = { Pow: 1, MatMul: 1e-4 }
  return graph.nodes.reduce((sum, { opType }) => sum + (seconds[opType] ?? 1e-5), 0)
}

async function split(name: string, measured: boolean): Promise<SplitPlan> {
  const [path, out] = [join(folder, 'model.onnx'), join(folder, name)]
  await writeModel(lopsided(), path)
  await mkdir(out)
  const check = async (task: Parameters<typeof runCheck>[1]): ReturnType<typeof runCheck> => {
    const result = await runCheck({ engine }, task)
    if (result.kind !== 'equal' || result.seconds === undefined) return result
    expect(result.seconds).toHaveLength(task.parts.length)
    return { ...result, seconds: await Promise.all(task.parts.map((part) => secondsOf(part.path))) }
  }
  const plan = await splitOnnx({ check }, path, { out, parts: 2, optimization: 'off', measured })
  expect((await readdir(out)).toSorted()).toEqual(plan.files.toSorted())
  return plan
}

it('moves the cut to where both parts take as long, with the same bits, and only where that is asked for', async () => {
  const [plain, moved] = [await split('plain', false), await split('moved', true)]
  expect(plain.check).toMatchObject({ kind: 'equal' })
  expect(plain.check).not.toHaveProperty('seconds')
  expect(moved.check).toMatchObject({ kind: 'equal', seconds: [expect.any(Number), expect.any(Number)] })
  const cut = ({ partitions }: SplitPlan): number => partitions[1]!.blocks[0]
  expect(cut(moved)).toBeLessThan(cut(plain))
})
