/**
 * The text that weight formats are measured on, when nobody gives another one: written for weft, under its licence. Each
 * half has prose, explanation, code, talk, other languages, and figures. Changing a letter changes choices: then change the
 * name too.
 */

export const CALIBRATION_NAME = 'weft-page-1'

/** Layers are chosen on it. */
export const CALIBRATION_PARAGRAPHS: readonly string[] = [
  'The ferry left at six, an hour before the fog came up the river. Marta stood at the rail with her collar turned up ' +
    'and counted the lamps along the quay until the last of them was gone. She had packed in a hurry, two shirts, her ' +
    "father's watch, the letters tied with string, and had told nobody but the baker where she was going. The engine " +
    'settled into a slow beat under her feet. Somebody below was frying onions.',
  'A heat pump moves warmth from a cold place to a warm one. It does not make heat, so it can deliver three or four times ' +
    'the energy that its motor takes. A fluid evaporates at low pressure outdoors, which cools it; a compressor raises its ' +
    'pressure, and with it the temperature at which it condenses; indoors it gives up what it has gathered. The smaller ' +
    'the step in temperature, the less work is needed, which is why wide radiators at forty degrees are better than ' +
    'narrow ones at seventy.',
  'def moving_average(values, width):\n    """Mean of each window of `width` neighbours."""\n    if width < 1:\n' +
    '        raise ValueError("width must be positive")\n    total = 0.0\n    result = []\n' +
    '    for index, value in enumerate(values):\n        total += value\n        if index >= width:\n' +
    '            total -= values[index - width]\n        if index >= width - 1:\n' +
    '            result.append(total / width)\n    return result\n',
  'User: Can I freeze cooked rice?\nAssistant: Yes. Cool it quickly, within an hour if you can, and put it into small bags ' +
    'so that it freezes fast. It keeps for about a month. To use it, heat it until it steams all the way through, with a ' +
    'spoonful of water, and do not warm it up a second time.\nUser: And if it stood on the stove overnight?\n' +
    'Assistant: Then throw it away. Spores survive the boiling and grow in warm, damp rice.\n',
  'Le marché ouvre à sept heures, mais les pêcheurs sont là depuis la nuit. On y vend des soles, des moules et, en ' +
    'automne, des noix encore vertes. Der Zug nach Lindau hat heute zwanzig Minuten Verspätung; wir bitten um ' +
    'Entschuldigung. El agua de la fuente está fría incluso en agosto. Поезд отправляется с третьего пути. ' +
    '图书馆星期一不开门，请你明天再来。 駅の前に小さな本屋があります。',
  'Station,Day,Low,High,Rain\nNorth,2031-03-01,-2.5,6.8,0.0\nNorth,2031-03-02,-1.0,8.1,3.4\nSouth,2031-03-01,4.2,12.9,0.2\n' +
    'South,2031-03-02,5.1,13.3,11.7\n{"id": 4711, "tags": ["new", "sale"], "price": 19.95, "stock": {"a": 3, "b": 0}}\n' +
    '17 + 26 = 43; 43 * 3 = 129; 129 / 4 = 32.25; 2^10 = 1024; sqrt(2) = 1.41421356\n',
]

/** The whole model is measured on it. */
export const HELD_OUT_PARAGRAPHS: readonly string[] = [
  'In the winter after the flood the whole village learned to mend nets. There was nothing else to do, and the old women, ' +
    'who had always done it, were glad of the company. They sat in the school because it had the only stove that drew. ' +
    'Every evening somebody read aloud, first the newspaper, then whatever the teacher had left on the shelf: a book about ' +
    'bees, half of a novel, the rules for the lighthouse. By February the children could recite the rules from memory, and ' +
    'did so, marching, whenever the wind went round to the north. Nobody laughed at it then. It was only years later that ' +
    'my aunt told the story as a joke.',
  'Bread rises because yeast eats sugar and breathes out carbon dioxide, and because wet flour can hold the gas. Two ' +
    'proteins in the flour, once they meet water and are pulled about, link into long elastic sheets that bakers call ' +
    'gluten. Kneading lines the sheets up; resting lets them relax. Salt slows the yeast and makes the sheets firmer. In the ' +
    'oven the gas expands, the alcohol boils off, and at about eighty degrees the starch sets around the bubbles, so that ' +
    'the loaf keeps its shape when it is taken out. If the dough has stood too long, the sheets are already torn and the ' +
    'crumb comes out flat and coarse.',
  '/** Removes what was not used for the longest time when it is full. */\nclass Cache {\n  constructor(limit) {\n' +
    '    this.limit = limit;\n    this.entries = new Map();\n  }\n\n  get(key) {\n' +
    '    if (!this.entries.has(key)) return undefined;\n    const value = this.entries.get(key);\n' +
    '    this.entries.delete(key);\n    this.entries.set(key, value);\n    return value;\n  }\n\n  set(key, value) {\n' +
    '    this.entries.delete(key);\n    this.entries.set(key, value);\n    if (this.entries.size > this.limit) {\n' +
    '      const oldest = this.entries.keys().next().value;\n      this.entries.delete(oldest);\n    }\n  }\n}\n',
  'User: My bicycle chain slips when I stand up on the pedals. What should I look at first?\nAssistant: Look at the chain ' +
    'itself. Measure twelve links: new, they are 304.8 mm long, and above 306.5 mm the chain is worn. A worn chain also ' +
    'wears the sprockets, so if you put on a new one and it still slips on the gears that you use most, replace the ' +
    'cassette as well. If the chain is fine, check that the rear derailleur is straight and that the cable is not too ' +
    'tight.\nUser: It measures 308.\nAssistant: Then it is overdue. Change the chain and the cassette together.\n',
  'Cuando terminó la reunión, nadie quiso ser el primero en salir. La lluvia golpeaba los cristales y el autobús no ' +
    'llegaría hasta las nueve. Am Abend wurde das Wetter besser, und über dem See lag ein dünner Streifen Licht. Die Kinder ' +
    'liefen noch einmal hinaus, um die Boote festzumachen. Elle a posé la clé sur la table, puis elle a refermé la porte ' +
    'sans bruit. Зимой здесь темнеет рано, и окна домов светятся уже в четыре часа. 今年的茶比去年的香，可是价钱也高了一些。 ' +
    '雨が止んだら、川まで散歩しましょう。',
  '| item | pieces | each | sum |\n| --- | ---: | ---: | ---: |\n| screws M4 x 16 | 200 | 0.06 | 12.00 |\n| hinges, brass | 8 ' +
    '| 3.45 | 27.60 |\n| birch board 18 mm | 3 | 41.20 | 123.60 |\n| glue | 1 | 7.90 | 7.90 |\nTotal: 171.10, with 19 % tax ' +
    '203.61; paid on 2029-11-05 at 14:32.\n$ ls -l /var/log | head -3\ntotal 1892\n-rw-r----- 1 root adm  48213 Nov  5 14:30 ' +
    'auth.log\n-rw-r----- 1 root adm 120934 Nov  5 14:31 syslog\n',
]
