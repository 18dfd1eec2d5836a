/** A stage host that ends as its argument says: of a full heap, of more memory than its group has, by a kill. */
const how = process.argv[2]
const kept: unknown[] = []
if (how === 'killed') process.kill(process.pid, 'SIGKILL')
else if (how === 'buffer') throw new RangeError('Array buffer allocation failed')
// No more than this, should nothing end it.
else if (how === 'heap') for (let count = 0; count < 4e6; count++) kept.push({ count })
else for (let count = 0; count < 600; count++) kept.push(Buffer.alloc(2 ** 20, 1))
