/** Folders of examples, one a class: `FOLDER/CLASS/FILE`. Classes and files in the order of their names. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { shown } from '../../onnx/index.ts'
import type { Tensor } from '../../onnx/index.ts'
import { decodePnm, planes } from '../images/image.ts'
import type { Image } from '../images/image.ts'
import { decodeJpeg, isJpeg } from '../images/jpeg.ts'
import { decodePng, isPng } from '../images/png.ts'
import { TableMalformedError, TableUnreadableError } from '../table/errors.ts'
import { decodeWav } from './wav.ts'

export interface ClassFiles {
  readonly classes: readonly string[]
  readonly files: readonly { readonly path: string; readonly label: number }[]
}

const MOST_FILES = 1 << 20
const MOST_BYTES = 2 ** 31
const MOST_FILE_BYTES = 2 ** 28

/** @throws TableUnreadableError, TableMalformedError */
export async function listClasses(folder: string, ending: RegExp): Promise<ClassFiles> {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    const classes = entries
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .sort()
    const files: { path: string; label: number }[] = []
    for (const [label, name] of classes.entries()) {
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

/** uint8 [files, channels, height, width]; all images have to be of one size. @throws TableMalformedError */
export async function readImages({ files }: ClassFiles): Promise<Tensor> {
  let dims: readonly number[] = []
  const parts: Uint8Array[] = []
  for (const { path } of files) {
    const bytes = await contents(path)
    const image = decoded(bytes, shown(path))
    const own = [image.channels, image.height, image.width]
    if (parts.length > 0 && own.join() !== dims.join()) {
      throw new TableMalformedError(
        shown(path),
        `it is [${own.join(', ')}], and the first image is [${dims.join(', ')}]`,
      )
    }
    dims = own
    parts.push(planes(image))
  }
  return { type: 'uint8', dims: [files.length, ...dims], data: joined(parts, Uint8Array) }
}

function decoded(bytes: Buffer, where: string): Image {
  if (isPng(bytes)) return decodePng(bytes, where)
  return isJpeg(bytes) ? decodeJpeg(bytes, where) : decodePnm(bytes, where)
}

/** float32 [files, samples]: cut to the length, or filled with silence. @throws TableMalformedError */
export async function readSounds({ files }: ClassFiles, rate: number, samples: number): Promise<Tensor> {
  const data = new Float32Array(files.length * samples)
  for (const [row, { path }] of files.entries()) {
    const sound = decodeWav(await contents(path), shown(path))
    if (sound.rate !== rate) {
      throw new TableMalformedError(shown(path), `it has ${sound.rate} samples a second, and the plan says ${rate}`)
    }
    data.set(sound.samples.subarray(0, samples), row * samples)
  }
  return { type: 'float32', dims: [files.length, samples], data }
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

function joined(parts: readonly Uint8Array[], array: typeof Uint8Array): Uint8Array {
  const size = parts.reduce((sum, part) => sum + part.length, 0)
  if (size > MOST_BYTES)
    throw new TableMalformedError('the folder', `its images have ${size} bytes, and ${MOST_BYTES} are the most`)
  const all = new array(size)
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
