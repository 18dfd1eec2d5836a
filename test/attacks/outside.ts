/** E12: a model whose weights are said to lie in a file that is none of its own. What comes out of it is that file. */
import { execFile } from 'node:child_process'
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { readNpz, writeNpz } from '../../src/data/index.ts'
import { readModel, readTensor } from '../../src/onnx/index.ts'
import { BIN } from '../integration/support.ts'
import { external, int, message, modelWith, text } from '../onnx/ir/support/wire.ts'
import { least, most } from './attack.ts'
import type { Attack, Size } from './attack.ts'

/** What no model may give away: as long as four numbers in float32, and itself four plain numbers. */
const CANARY = Float32Array.of(61.84375, 417.390625, 1987.25, 12.0625)
const NOTHING = new Float32Array(CANARY.length)

/** How a model in `folder` names a file beside that folder. */
const WAYS: Readonly<Record<string, (folder: string, secret: string) => string>> = {
  'a way up': () => '../secret.bin',
  'a way in and up': () => 'sub/../../secret.bin',
  'an absolute path': (_, secret) => secret,
  'a link': (folder, secret) => {
    symlinkSync(secret, join(folder, 'link.bin'))
    return 'link.bin'
  },
  'a linked folder': (folder) => {
    symlinkSync(join(folder, '..'), join(folder, 'up'))
    return 'up/secret.bin'
  },
  'a hard link': (folder, secret) => {
    linkSync(secret, join(folder, 'second.bin'))
    return 'second.bin'
  },
}

const vector = (field: number, name: string): Uint8Array =>
  message(field, text(1, name), message(2, message(1, int(1, 1), message(2, message(1, int(1, CANARY.length))))))

/** y = x + w, and w lies at `location`. */
const adds = (location: string): Uint8Array =>
  modelWith(
    message(1, text(1, 'x'), text(1, 'w'), text(2, 'y'), text(3, 'add'), text(4, 'Add')),
    external([CANARY.length], { location }),
    vector(11, 'x'),
    vector(12, 'y'),
  )

type Reader = (model: string) => Promise<unknown>

/** Ways by which a reader gives the canary away. */
async function given(read: Reader): Promise<string[]> {
  const base = mkdtempSync(join(tmpdir(), 'weft-attack-outside-'))
  try {
    const secret = join(base, 'secret.bin')
    const ways: string[] = []
    for (const [index, [name, place]] of Object.entries(WAYS).entries()) {
      writeFileSync(secret, CANARY)
      const folder = join(base, String(index))
      mkdirSync(join(folder, 'sub'), { recursive: true })
      const model = join(folder, 'model.onnx')
      writeFileSync(model, adds(place(folder, secret)))
      const values = await read(model).catch(() => undefined)
      if (
        values instanceof Float32Array &&
        Buffer.compare(Buffer.from(values.buffer), Buffer.from(CANARY.buffer)) === 0
      )
        ways.push(name)
      // A hard link of an earlier way would be one of the next ones too.
      rmSync(folder, { recursive: true })
    }
    return ways
  } finally {
    rmSync(base, { recursive: true, force: true })
  }
}

/** The engine alone, given a path, as most programs use it. */
async function byEngine(model: string): Promise<unknown> {
  const session = await InferenceSession.create(model)
  const { y } = await session.run({ x: new Tensor('float32', NOTHING, [NOTHING.length]) })
  return Float32Array.from(y!.data as Float32Array)
}

async function byReader(model: string): Promise<unknown> {
  return readTensor((await readModel(model)).graph.initializers.get('w')!)
}

/** The whole command in a home of its own. */
async function byCommand(model: string): Promise<unknown> {
  const folder = join(model, '..')
  const [into, out] = [join(folder, 'x.npz'), join(folder, 'y.npz')]
  const x = { type: 'float32', dims: [NOTHING.length], data: NOTHING } as const
  await writeNpz(into, new Map([['x', x]]))
  const env = { ...process.env, WEFT_HOME: join(folder, 'home') }
  await promisify(execFile)(BIN, ['infer', model, '--local', '--in', into, '--out', out], { env })
  return Float32Array.from((await readNpz(out)).get('y')!.data as Float32Array)
}

/** That the readers would say what a file has, were it the model's own: each is asked for one such. */
async function reads(read: Reader): Promise<number> {
  const base = mkdtempSync(join(tmpdir(), 'weft-attack-inside-'))
  try {
    writeFileSync(join(base, 'w.bin'), CANARY)
    writeFileSync(join(base, 'model.onnx'), adds('w.bin'))
    const values = (await read(join(base, 'model.onnx'))) as Float32Array
    return values.filter((value, index) => value === CANARY[index]).length
  } finally {
    rmSync(base, { recursive: true, force: true })
  }
}

export const outside: Attack = {
  id: 'E12',
  name: 'weights that lie in a file of somebody else',
  async control() {
    return [least('ways by which the engine alone gives a file away', (await given(byEngine)).length, 1)]
  },
  async defended(size: Size) {
    const readers: Readonly<Record<string, Reader>> =
      size === 'all' ? { 'the reader': byReader, 'weft infer': byCommand } : { 'the reader': byReader }
    const outcomes = []
    for (const [name, read] of Object.entries(readers)) {
      outcomes.push(least(`numbers that ${name} gives of a file that is its own`, await reads(read), CANARY.length))
      outcomes.push(most(`ways by which ${name} gives a file away`, (await given(read)).length, 0))
    }
    return outcomes
  },
}
