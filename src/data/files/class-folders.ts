/** Folders of examples, one a class: `FOLDER/CLASS/FILE`. Classes and files in the order of their names. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { shown } from '../../onnx/index.ts'
import type { Tensor } from '../../onnx/index.ts'
import { decodePnm, planes } from '../images/image.ts'
import type { Image } from '../images/image.ts'
import { decodeJpeg, isJpeg } from '../images/jpeg.ts'
import { decodePng, isPng } from '../images/png.ts'
import { collected } from '../rows/row-source.ts'
import type { RowSource } from '../rows/row-source.ts'
import { TableMalformedError, TableUnreadableError } from '../table/errors.ts'
import { decodeWav } from './wav.ts'

export interface ClassFiles {
  readonly classes: readonly string[]
  readonly files: readonly { readonly path: string; readonly label: number }[]
}

const MOST_FILES = 1 << 20
const MOST_FILE_BYTES = 2 ** 28

/**
 * @param known the classes, in the order of their numbers; a folder may be missing. @default the folders that there are
 * @throws TableUnreadableError; TableMalformedError, also when a folder is none of `known`
 */
export async function listClasses(folder: string, ending: RegExp, known?: readonly string[]): Promise<ClassFiles> {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    const there = entries
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .sort()
    const classes = known ?? there
    const odd = there.find((name) => !classes.includes(name))
    if (odd !== undefined) throw new TableMalformedError(shown(join(folder, odd)), 'it is none of the declared classes')
    const files: { path: string; label: number }[] = []
    for (const [label, name] of classes.entries()) {
      if (!there.includes(name)) continue
      const own = (await readdir(join(folder, name))).filter((file) => ending.test(file)).sort()
      files.push(...own.map((file) => ({ path: join(folder, name, file), label })))
      if (files.length > MOST_FILES)
        throw new TableMalformedError(shown(folder), `it has more than ${MOST_FILES} files`)
    }
    return { classes, files }
  } catch (error) {
    if (error instanceof TableMalformedError) throw error
    throw new TableUnreadableError(folder, error)
  }
}

/** uint8 [files, channels, height, width], all of it. @throws TableMalformedError, ArrayTooLargeError */
export async function readImages(found: ClassFiles): Promise<Tensor> {
  return collected(await imageRows(found), 'the folder')
}

/** uint8 [channels, height, width] a file; all images have to be of one size. @throws TableMalformedError */
export async function imageRows({ files }: ClassFiles): Promise<RowSource> {
  const dims = files[0] === undefined ? [0, 0, 0] : dimsOf(await imageIn(files[0].path))
  async function* rows(signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    for (const { path } of files) {
      signal?.throwIfAborted()
      const image = await imageIn(path)
      const own = dimsOf(image)
      if (own.join() !== dims.join()) {
        const why = `it is [${own.join(', ')}], and the first image is [${dims.join(', ')}]`
        throw new TableMalformedError(shown(path), why)
      }
      yield planes(image)
    }
  }
  return { type: 'uint8', dims, count: files.length, rows }
}

async function imageIn(path: string): Promise<Image> {
  return decoded(await contents(path), shown(path))
}

function dimsOf({ channels, height, width }: Image): readonly number[] {
  return [channels, height, width]
}

function decoded(bytes: Buffer, where: string): Image {
  if (isPng(bytes)) return decodePng(bytes, where)
  return isJpeg(bytes) ? decodeJpeg(bytes, where) : decodePnm(bytes, where)
}

/** float32 [files, samples], all of it. @throws TableMalformedError, ArrayTooLargeError */
export async function readSounds(found: ClassFiles, rate: number, samples: number): Promise<Tensor> {
  return collected(soundRows(found, rate, samples), 'the folder')
}

/** float32 [samples] a file: cut to the length, or filled with silence. Its rows throw TableMalformedError. */
export function soundRows({ files }: ClassFiles, rate: number, samples: number): RowSource {
  async function* rows(signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    for (const { path } of files) {
      signal?.throwIfAborted()
      const sound = decodeWav(await contents(path), shown(path))
      if (sound.rate !== rate) {
        throw new TableMalformedError(shown(path), `it has ${sound.rate} samples a second, and the plan says ${rate}`)
      }
      const row = new Float32Array(samples)
      row.set(sound.samples.subarray(0, samples))
      yield new Uint8Array(row.buffer)
    }
  }
  return { type: 'float32', dims: [samples], count: files.length, rows }
}

async function contents(path: string): Promise<Buffer> {
  try {
    const { size } = await stat(path)
    if (size > MOST_FILE_BYTES) throw new Error(`it has ${size} bytes, and ${MOST_FILE_BYTES} are the most`)
    return await readFile(path)
  } catch (error) {
    throw new TableUnreadableError(path, error)
  }
}
