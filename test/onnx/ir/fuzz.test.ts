/** Damaged files, thousands of them: read, or refused with a code; never a crash, a hang or a mountain of memory. */
import { readFile, writeFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { WeftError } from '../../../src/errors.ts'
import { checkModel, inlineFunctions, readModel, writeModel } from '../../../src/onnx/ir/index.ts'
import type { Model } from '../../../src/onnx/ir/index.ts'
import { definition, floats, graph, model, node, tensor, value } from './support/build.ts'
import { testFolder } from './support/folder.ts'

const at = testFolder()
const SEED = Number(process.env['WEFT_FUZZ_SEED'] ?? 20_260)
const MUTATIONS = Number(process.env['WEFT_FUZZ_CASES'] ?? 2_000)

function seeds(): Model[] {
  const branch = {
    kind: 'graph',
    value: graph({ nodes: [node('Neg', ['x'], ['t'])], outputs: [value('t', ['n', null])] }),
  } as const
  const opsets = new Map([
    ['', 17],
    ['own', 1],
  ])
  const functions = [
    definition({ name: 'F', nodes: [node('Neg', ['a'], ['b'])], values: new Map([['b', value('b')]]) }),
  ]
  const nodes = [
    node('If', ['c'], ['p'], { then_branch: branch, else_branch: branch }, { name: 'choice' }),
    node('F', ['p'], ['q'], {}, { domain: 'own' }),
    node('Op', ['q', 'w', ''], ['y'], {
      axes: { kind: 'ints', values: [1n, -1n, 2n ** 40n] },
      scales: { kind: 'floats', values: [1, 2] },
      mode: { kind: 'string', value: Uint8Array.of(97) },
      constant: { kind: 'tensor', value: tensor('', 'int64', [2], BigInt64Array.of(1n, 2n)) },
      type: { kind: 'type', value: { kind: 'sequence', element: { kind: 'map', key: 'int64', value: null } } },
    }),
  ]
  const inputs = [value('x'), value('c', [], 'bool')]
  const initializers = new Map([
    ['w', floats('w', 1, 2, 3)],
    ['unused', tensor('unused', 'uint8', [2000], new Uint8Array(2000))],
  ])
  return [
    model({ nodes, inputs, outputs: [value('y')], initializers }, { functions, opsets }),
    model({ nodes: [node('Relu', ['x'], ['y'])], inputs, outputs: [value('y')] }),
  ]
}

/** A generator of numbers below a bound, the same each time. */
function chances(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

function mutate(bytes: Uint8Array, chance: (below: number) => number): Uint8Array {
  const changed = Buffer.from(bytes)
  const place = chance(changed.length)
  const part = changed.subarray(place, place + chance(60))
  switch (chance(8)) {
    case 0:
      return changed.subarray(0, place)
    case 1:
      return Buffer.concat([changed.subarray(0, place), changed.subarray(place + part.length)])
    case 2:
      return Buffer.concat([changed.subarray(0, place), part, part, changed.subarray(place)])
    case 3:
      part.fill(0xff)
      return changed
    default:
      // Mostly one byte: it gets furthest.
      changed[place] = chance(2) === 0 ? chance(256) : changed[place]! ^ (1 << chance(8))
      return changed
  }
}

it('are read or refused', async () => {
  const files: Uint8Array[] = []
  for (const seed of seeds()) {
    await writeModel(seed, at('seed.onnx'))
    files.push(await readFile(at('seed.onnx')))
  }
  const chance = chances(SEED)
  const before = process.memoryUsage().rss
  const ends = new Map<string, number>()
  for (let count = 0; count < MUTATIONS; count++) {
    let bytes = mutate(files[count % files.length]!, chance)
    while (chance(4) === 0 && bytes.length > 0) bytes = mutate(bytes, chance)
    await writeFile(at('mutant.onnx'), bytes)
    const end = await work(at('mutant.onnx')).catch((error: unknown) => {
      if (!(error instanceof WeftError))
        throw new Error(`mutation ${count}: ${Buffer.from(bytes).toString('base64')}`, { cause: error })
      return error.code
    })
    ends.set(end, (ends.get(end) ?? 0) + 1)
  }
  // Both ends are reached, and refusals of many kinds.
  expect(ends.get('written')).toBeGreaterThan(MUTATIONS / 100)
  expect(ends.size).toBeGreaterThan(5)
  expect(process.memoryUsage().rss - before).toBeLessThan(400e6)
}, 600_000)

/** What is read can be checked, inlined, written, and is then read again as it was. */
async function work(path: string): Promise<string> {
  const checked = inlineFunctions(checkModel(await readModel(path)))
  await writeModel(checked, at('written.onnx'))
  checkModel(await readModel(at('written.onnx')))
  return 'written'
}
