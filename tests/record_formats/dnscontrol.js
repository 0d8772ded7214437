// DNSControl's words, as far as records use them: reads a file and prints each name with its TTL and value.
const fs = require("fs");
const vm = require("vm");

const found = {};
const words = {
  TTL: (seconds) => ({ ttl: seconds }),
  TXT: (name, value, ...modifiers) => ({ name, value, ...Object.assign({}, ...modifiers) }),
  D_EXTEND: (zone, ...records) => {
    for (const { name, value, ttl } of records) {
      found[`${name}.${zone}`] = [ttl, Buffer.from(value).toString("hex")];
    }
  },
};
vm.runInNewContext(fs.readFileSync(process.argv[2], "utf8"), words);
process.stdout.write(JSON.stringify(found));
