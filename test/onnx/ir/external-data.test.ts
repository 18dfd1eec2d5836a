/** Weights in other files: found in the folder of the model, and nowhere else. */
import { execFileSync } from 'node:child_process'
import { copyFile, link, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  ExternalDataError,
  ExternalDataOutsideError,
  readModel,
  readTensor,
  TensorReadError,
  TensorSizeError,
} from '../../../src/onnx/ir/index.ts'
import type { TensorValue } from '../../../src/onnx/ir/index.ts'
import { expectRefusal, testFolder } from './support/folder.ts'
import { bytes, external, initializer, int, message, modelWith, text } from './support/wire.ts'

const at = testFolder()
const VALUES = Float32Array.from({ length: 64 }, (_, index) => index / 2)

async function read(
  entries: Readonly<Record<string, string>>,
  dims = [4],
  path = 'model/m.onnx',
): Promise<TensorValue> {
  await writeFile(at(path), modelWith(external(dims, entries)))
  return (await readModel(at(path))).graph.initializers.get('w')!
}

beforeAll(async () => {
  await mkdir(at('model/sub'), { recursive: true })
  await writeFile(at('model/w.bin'), VALUES)
  await writeFile(at('model/sub/w.bin'), VALUES)
  await writeFile(at('secret.bin'), VALUES)
  await symlink(at('secret.bin'), at('model/link.bin'))
  await symlink(at('.'), at('model/up'))
  await symlink(at('model/w.bin'), at('model/inner.bin'))
})

describe('data files', () => {
  it.each<[string, Readonly<Record<string, string>>, number]>([
    ['beside the model', { location: 'w.bin' }, 0],
    ['from an offset', { location: 'w.bin', offset: '16', length: '16' }, 4],
    ['in a folder below', { location: 'sub/w.bin', offset: '0' }, 0],
    ['by a way that comes back', { location: './sub/../w.bin', offset: '240' }, 60],
    ['through a link that stays inside', { location: 'inner.bin', checksum: '00' }, 0],
  ])('are read %s', async (_, entries, first) => {
    expect(await readTensor(await read(entries))).toEqual(VALUES.slice(first, first + 4))
  })

  it('are found where hub clients keep models: as links to blobs in one folder', async () => {
    await mkdir(at('hub/blobs'), { recursive: true })
    await mkdir(at('hub/snapshot'))
    await writeFile(at('hub/blobs/1f'), modelWith(external([4], { location: 'm.onnx.data' })))
    await writeFile(at('hub/blobs/2f'), VALUES)
    await symlink('../blobs/1f', at('hub/snapshot/m.onnx'))
    await symlink('../blobs/2f', at('hub/snapshot/m.onnx.data'))
    const tensor = (await readModel(at('hub/snapshot/m.onnx'))).graph.initializers.get('w')!
    expect(await readTensor(tensor)).toEqual(VALUES.slice(0, 4))
  })
})

describe('what lies outside', () => {
  it.each<[string, RegExp]>([
    ['../secret.bin', /climbs out/],
    ['sub/../../secret.bin', /climbs out/],
    ['..', /climbs out/],
    ['.', /climbs out/],
    ['/etc/passwd', /absolute/],
    ['link.bin', /a link leads out/],
    ['up/secret.bin', /a link leads out/],
    ['w.bin\0', /zero byte/],
  ])('is refused: %j', async (location, words) => {
    await expectRefusal(read({ location }), ExternalDataOutsideError, words)
  })

  it('is refused under a second name inside, and read as a copy', async () => {
    await link(at('secret.bin'), at('model/second.bin'))
    await expectRefusal(read({ location: 'second.bin' }), ExternalDataOutsideError, /hard link/)
    await copyFile(at('secret.bin'), at('model/copy.bin'))
    expect(await readTensor(await read({ location: 'copy.bin' }))).toEqual(VALUES.slice(0, 4))
  })
})

describe('data files that are not what the model says', () => {
  it.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ['missing', { location: 'none.bin' }, /ENOENT/],
    ['not named', { offset: '0' }, /no file is named/],
    ['a folder', { location: 'sub' }, /no regular file/],
    ['of a name with escapes', { location: '\u001b[31mno\n' }, /^\P{Cc}*ENOENT\P{Cc}*$/u],
    ['of an endless name', { location: 'x'.repeat(5000) }, /ENAMETOOLONG/],
    ['an address of the web', { location: 'file:///etc/passwd' }, /ENOENT/],
    ["memory of the engine's", { location: '*/_ORT_MEM_ADDR_/*', offset: '4096', length: '16' }, /ENOENT/],
    ['shorter than the offset', { location: 'w.bin', offset: '10000' }, /ends at byte 256, before 10016/],
    ['shorter than the tensor', { location: 'w.bin', offset: '244' }, /ends at byte 256, before 260/],
    ['from a negative offset', { location: 'w.bin', offset: '-64' }, /offset is no count/],
    ['from a hexadecimal offset', { location: 'w.bin', offset: '0x10' }, /offset is no count/],
    ['from an offset over 2^53', { location: 'w.bin', offset: '9999999999999999' }, /offset is no count/],
    ['of a length that is no number', { location: 'w.bin', length: '1e1' }, /length is no count/],
  ])('%s', async (_, entries, words) => {
    await expectRefusal(read(entries), ExternalDataError, words)
  })

  it('of another length than the shape', async () => {
    await expectRefusal(
      read({ location: 'w.bin', length: '8' }),
      TensorSizeError,
      /has 8 bytes, and its shape wants 16/,
    )
    await expectRefusal(read({ location: 'w.bin' }, [2 ** 40, 2 ** 40]), TensorSizeError, /2\^53/)
  })

  it.skipIf(process.platform === 'win32')('a pipe', async () => {
    execFileSync('mkfifo', [at('model/pipe')])
    await expectRefusal(read({ location: 'pipe' }), ExternalDataError, /no regular file/)
  })

  it('data inside and outside at once, and strings outside', async () => {
    const both = initializer(1, [1], bytes(9, new Uint8Array(4)), message(13, text(1, 'location')), int(14, 1))
    await writeFile(at('model/m.onnx'), modelWith(both))
    await expect(readModel(at('model/m.onnx'))).rejects.toThrow(/two fields/)
    await writeFile(at('model/m.onnx'), modelWith(initializer(8, [1], message(13, text(1, 'location')), int(14, 1))))
    await expect(readModel(at('model/m.onnx'))).rejects.toThrow(/elsewhere than in string_data/)
  })
})

describe('files that change after they were checked', () => {
  it('are not followed to where a link leads now, nor read beyond their end', async () => {
    await writeFile(at('model/swap.bin'), VALUES)
    const tensor = await read({ location: 'swap.bin' })
    await writeFile(at('model/swap.bin'), new Uint8Array(8))
    await expectRefusal(readTensor(tensor), TensorReadError, /ends at byte 8/)
    await rm(at('model/swap.bin'))
    await expectRefusal(readTensor(tensor), TensorReadError, /ENOENT/)
    await symlink(at('secret.bin'), at('model/swap.bin'))
    if (process.platform !== 'win32') await expectRefusal(readTensor(tensor), TensorReadError, /ELOOP/)
    await rm(at('model/swap.bin'))
    await writeFile(at('model/new.bin'), VALUES)
    await rename(at('model/new.bin'), at('model/swap.bin'))
    expect(await readTensor(tensor)).toEqual(VALUES.slice(0, 4))
  })

  it('are not read into memory when they are large', async () => {
    const tensor = await read({ location: 'w.bin' }, [64])
    await expectRefusal(readTensor(tensor, { maxBytes: 255 }), TensorReadError, /256 bytes, and 255 are the most/)
    expect(await readTensor(tensor, { maxBytes: 256 })).toEqual(VALUES)
  })
})
