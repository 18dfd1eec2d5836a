/** A plan over images like those of a folder. */
import type { imageRows, listClasses } from '../../../data/index.ts'
import { UsageError } from '../../errors.ts'
import { loadFunction } from '../../rooms.ts'

const IMAGES = /\.(?:png|jpe?g|pgm|ppm)$/i

/** @param folder of folders, one a class. @throws UsageError, and what reading images throws */
export async function imagePlan(folder: string): Promise<object> {
  const list = (await loadFunction('data', 'listClasses')) as typeof listClasses
  const open = (await loadFunction('data', 'imageRows')) as typeof imageRows
  const found = await list(folder, IMAGES)
  if (found.classes.length < 2 || found.files.length === 0)
    throw new UsageError(`${folder} has no folders of images, one a class`, 'FOLDER/CLASS/IMAGE.png, say')
  const { dims } = await open(found)
  return {
    schema: 'weft.fed-plan/1',
    name: 'images',
    task: 'multiclass',
    input: { kind: 'image', dims, labels: found.classes },
    split: { every: 5, test: 4 },
    model: { kind: 'cnn', channels: [16, 32], hidden: [64] },
    init: 'hash',
    rounds: 20,
    local: { epochs: 1, batch: 32, optimizer: 'sgd', lr: 0.05, momentum: 0.9 },
    strategy: { name: 'fedavg', weights: 'records', server_lr: 1 },
    secagg: { f: 16, bits: 32, c: 8 },
    privacy: 'off',
    minimum: { sites: 3, records: 64 },
    deadline: '10m',
  }
}
