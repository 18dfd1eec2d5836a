/** Names that JavaScript has for something else, at the ends of a graph. */
import { expect, it } from 'vitest'
import { createOrtEngine } from '../../src/onnx/index.ts'
import type { AnyTensor } from '../../src/onnx/index.ts'
import { writeModel } from '../../src/onnx/ir/index.ts'
import { model, node, tensorType } from './cut/support/build.ts'
import { testFolder } from './ir/support/folder.ts'

const at = testFolder()
const NAMES = ['__proto__', 'constructor', 'toString', '1', '0']

it('inputs and outputs are found by them', async () => {
  const row = tensorType('float32', [2])
  const ends = (mark: string): Readonly<Record<string, typeof row>> =>
    Object.fromEntries(NAMES.map((name) => [`${name}${mark}`, row]))
  // An output and an input can not have one name: of each pair one has the mark.
  for (const [inputs, outputs] of [
    ['', '.out'],
    ['.in', ''],
  ] as const) {
    const path = at(`names${inputs}.onnx`)
    const nodes = NAMES.map((name) => node('Neg', [`${name}${inputs}`], [`${name}${outputs}`]))
    await writeModel(model({ nodes, inputs: ends(inputs), outputs: ends(outputs) }), path)
    const graph = await createOrtEngine().load(path, { threads: 1 })
    const feeds = Object.fromEntries(
      NAMES.map((name, index): [string, AnyTensor] => [
        `${name}${inputs}`,
        { type: 'float32', dims: [2], data: Float32Array.of(index, 7) },
      ]),
    )
    for (let run = 0; run < 2; run++) {
      const made = await graph.runAny(
        feeds,
        NAMES.map((name) => `${name}${outputs}`),
      )
      for (const [index, name] of NAMES.entries())
        expect([...(made[`${name}${outputs}`]!.data as Float32Array)]).toEqual([-index, -7])
    }
    await graph.release()
  }
})
