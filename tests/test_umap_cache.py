"""UMAP placements on disk: what was kept comes back, and what is damaged is no map."""

import os

import numpy as np
import pytest

from analysis.explain import embedding
from analysis.explain.embedding import Placement
from app.server import umap_cache

PLACED = Placement(np.arange(12.0).reshape(6, 2), 0.9, 0.8, (0.5, 0.25))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(umap_cache.FOLDER_VARIABLE, str(tmp_path))
    return umap_cache.folder()


def test_what_was_kept_comes_back(folder):
    assert umap_cache.read("a", 6) is None
    umap_cache.write("a", PLACED)
    found = umap_cache.read("a", 6)
    assert (found.points == PLACED.points).all()
    assert (found.trustworthiness, found.pca_trustworthiness, found.pca_explained) == (0.9, 0.8, (0.5, 0.25))
    assert os.listdir(folder) == ["a.safetensors"]


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "folder", "too few", "not finite"])
def test_a_damaged_file_is_no_map_and_is_written_anew(folder, damage, caplog):
    umap_cache.write("a", PLACED)
    path = folder / "a.safetensors"
    whole = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "too few":
        umap_cache.write("a", Placement(PLACED.points[:3], 0.9, 0.8, (0.5, 0.25)))
    elif damage == "not finite":
        umap_cache.write("a", Placement(PLACED.points * np.nan, 0.9, 0.8, (0.5, 0.25)))
    else:
        path.write_bytes({"cut": whole[:-9], "garbage": b"\xff" * 200, "empty": b""}[damage])
    assert umap_cache.read("a", 6) is None and "a.safetensors" in caplog.text
    if damage != "folder":
        umap_cache.write("a", PLACED)
        assert (umap_cache.read("a", 6).points == PLACED.points).all()


def test_where_nothing_can_be_written_the_log_says_so(folder, caplog):
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file where the folder should be")
    umap_cache.write("a", PLACED)
    assert "not kept on disk" in caplog.text and umap_cache.read("a", 6) is None


def test_the_oldest_files_go_first(folder, monkeypatch):
    monkeypatch.setattr(umap_cache, "MAX_FILES", 2)
    for age, key in enumerate("cba"):
        umap_cache.write(key, PLACED)
        os.utime(folder / f"{key}.safetensors", (age, age))
    umap_cache.write("d", PLACED)
    assert sorted(os.listdir(folder)) == ["a.safetensors", "d.safetensors"]


def test_key_follows_the_states_and_the_settings(monkeypatch):
    states = np.random.default_rng(0).normal(size=(6, 4))
    keys = {umap_cache.key_of(each) for each in (states, states + 1e-3, states.reshape(4, 6), states[:5])}
    monkeypatch.setattr(umap_cache, "SEED", 1)
    assert umap_cache.key_of(states) not in keys and len(keys) == 4
    assert umap_cache.SEED != embedding.SEED


def test_folder_is_the_users_own_unless_named(monkeypatch, tmp_path):
    monkeypatch.delenv(umap_cache.FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert umap_cache.folder() == tmp_path / "xdg" / "versatileffn-explorer" / "umap"
