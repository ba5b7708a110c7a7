# What jq defines and the jaq crates leave to others.
def @tsv: if type != "array" then error("\(type) cannot be tsv-formatted, only an array can be") else . end
  | map(if type == "string" then gsub("\\\\"; "\\\\") | gsub("\t"; "\\t") | gsub("\n"; "\\n") | gsub("\r"; "\\r")
        elif . == null then "" elif type == "array" or type == "object" then error("\(type) is not valid in a tsv row")
        else tostring end) | join("\t");
def @csv: if type != "array" then error("\(type) cannot be csv-formatted, only an array can be") else . end
  | map(if type == "string" then "\"" + gsub("\""; "\"\"") + "\""
        elif . == null then "" elif type == "array" or type == "object" then error("\(type) is not valid in a csv row")
        else tostring end) | join(",");
def IN(s): any(s == .; .);
def IN(src; s): any(src == s; .);
def INDEX(stream; f): reduce stream as $row ({}; .[$row | f | tostring] |= $row);
def INDEX(f): INDEX(.[]; f);
def toarray: if type == "array" then . else [.] end;
