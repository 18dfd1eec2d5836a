/** Rotary tables: made in pieces, and no larger than a stage can map, whatever context a file announces. */
import { describe, expect, it } from 'vitest'
import { mostPositions } from '../../src/models/llama/head-width.ts'
import { rotaryTable } from '../../src/models/llama/rotary.ts'
import { readGgufDecoder } from '../../src/models/readers/gguf-decoder.ts'
import { memoryAccess } from '../../src/models/readers/random-access.ts'
import { SMALL } from '../pipeline/support/random-model.ts'
import { judge } from './support/fuzz/oracle.ts'
import { writeGguf } from './support/gguf-writer.ts'
import { tinyLlama, withKeys } from './support/tiny-llama.ts'

describe('the rotary tables', () => {
  it.each(['cos', 'sin'] as const)('are the %s of every angle, wherever a piece ends', (of) => {
    const shape = { ...SMALL, rope_dim: 12, rope_factors: [1, 2, 3, 4, 5, 6] }
    const [positions, pairs] = [150_000, 8]
    const pieces = [...rotaryTable(of, shape, positions, pairs)]
    expect(pieces.length).toBe(2)
    const all = Float32Array.of(...pieces.map((piece) => piece.length))
    expect(all.reduce((sum, length) => sum + length, 0)).toBe(positions * pairs)
    const at = (position: number, pair: number): number => {
      const index = position * pairs + pair
      const first = pieces[0]!.length
      return index < first ? pieces[0]![index]! : pieces[1]![index - first]!
    }
    const border = pieces[0]!.length / pairs
    for (const position of [0, 1, 77, border - 1, border, border + 1, positions - 1]) {
      for (let pair = 0; pair < pairs; pair++) {
        const frequency = pair < 6 ? 10_000 ** ((-2 * pair) / 12) / (pair + 1) : 0
        expect(at(position, pair)).toBe(Math.fround(Math[of](position * frequency)))
      }
    }
  })
})

describe('a context that no stage could have tables for', () => {
  const announced = (context: number): Uint8Array =>
    writeGguf(
      withKeys(tinyLlama({ layers: 1 }), {
        'llama.context_length': { key: 'llama.context_length', type: 'u32', value: context },
      }),
    )

  it('is served up to where they end, and the manifest is one that others take', async () => {
    const most = mostPositions({ head_dim: 16 })
    const { shape } = await readGgufDecoder(memoryAccess(announced(2 ** 24)))
    expect(shape.context).toBe(most)
    expect(await judge(announced(2 ** 24))).toMatchObject({ code: null, manifest: { shape: { context: most } } })
    expect((await readGgufDecoder(memoryAccess(announced(8192)))).shape.context).toBe(8192)
  })

  it('is over a million tokens for the heads of the Llama family', () => {
    expect(mostPositions({ head_dim: 128 })).toBe(2 ** 20)
    expect(mostPositions({ head_dim: 64 })).toBe(2 ** 21)
    expect(mostPositions({ head_dim: 8 })).toBe(2 ** 23)
  })
})
